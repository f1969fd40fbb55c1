"""The dashboard, the alerts and docs/metrics.md speak of metrics and labels that there are."""

import json
import re
from pathlib import Path

import pytest
import yaml

from lb.telemetry.families import BY_NAME, FAMILIES

ROOT = Path(__file__).parents[2]
BOARD = json.loads((ROOT / "infra/grafana/dashboard.json").read_text())
RULES = yaml.safe_load((ROOT / "infra/prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
DOCUMENT = (ROOT / "docs/metrics.md").read_text()
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
OF_PROMETHEUS = {"le", "job", "instance"}


def metrics_in(text: str) -> set[str]:
    found = set(re.findall(r"\b(?:lb|openai|process)_[a-z_]+\b", text))
    labels = {label for family in FAMILIES for label in family.labels}
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in found - labels}


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *(rule["expr"] for rule in RULES[1:])])
def test_an_expression_names_metrics_and_labels_that_there_are(expression: str) -> None:
    named = metrics_in(expression)
    assert named
    assert named <= set(BY_NAME)
    labels = {label for name in named for label in BY_NAME[name].labels} | OF_PROMETHEUS
    grouped = [label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")]
    assert set(grouped) | set(re.findall(r"(\w+)=~?\"", expression)) <= labels


def test_every_metric_of_the_balancer_and_its_backends_is_on_the_dashboard() -> None:
    shown = set().union(*map(metrics_in, EXPRESSIONS))
    ours = {family.name for family in FAMILIES if family.name.startswith("lb_")}
    alerted = set().union(*(metrics_in(rule["expr"]) for rule in RULES))
    elsewhere = {
        "lb_cooldowns_total",
        "lb_returns_total",
        "lb_backend_handshakes_total",
        "lb_info",
        "lb_spans_exported_total",
        "lb_audit_held_bytes",
    }
    assert ours - shown - alerted == elsewhere


def test_panels_do_not_overlap_and_fill_their_rows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["alert"] in DOCUMENT


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_metric_is_in_the_document_with_its_labels(family) -> None:  # type: ignore[no-untyped-def]
    (row,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{family.name}` ")]
    _, kind, labels, _ = (cell.strip() for cell in row.strip("|").split(" | "))
    assert kind == family.kind
    assert tuple(re.findall(r"`(\w+)`", labels)) == family.labels


def test_the_document_names_no_metric_that_there_is_not() -> None:
    assert metrics_in(re.sub(r"```.*?```", "", DOCUMENT, flags=re.DOTALL)) <= set(BY_NAME)
