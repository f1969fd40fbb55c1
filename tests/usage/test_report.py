"""`lb usage` as somebody at a terminal, a spreadsheet and a program read it."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lb.cli import main
from lb.usage.store import Store
from lb.usage.sums import Key, Sums

KEY = Key("2026-11-20", "ada", "chat", "EAST", "chat", "reported")
ROWS = {
    KEY: Sums(1200, 1_000_000, 200_000, 1_200_000, cached=5),
    KEY._replace(source="estimated"): Sums(2, 30, 10, 40),
    KEY._replace(source="unknown"): Sums(3),
    KEY._replace(day="2026-11-21", backend="WEST"): Sums(1, 7, 3, 10),
    KEY._replace(day="2026-11-21", tenant="bob", deployment="=cmd"): Sums(1, 2, 3, 5, reasoning=2),
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    store = Store(str(tmp_path / "usage.db"))
    store.add(ROWS)
    store.close()
    return store.path


def usage(*options: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["usage", *options], env=environment)


def test_the_table_has_a_line_for_each_group_and_the_sum_of_all(path: str) -> None:
    result = usage("--store", path)
    lines = [line.split() for line in result.stdout.splitlines()]
    head = ["day", "tenant", "deployment", "requests", "prompt", "completion", "total", "cached", "reasoning"]
    assert lines[0] == [*head, "estimated", "unknown"]
    counts = ["1,205", "1,000,030", "200,010", "1,200,040", "5", "0", "40", "3"]
    assert lines[1] == ["2026-11-20", "ada", "chat", *counts]
    assert lines[-1][:2] == ["all", "1,207"]
    assert result.exit_code == 0


def test_by_what_it_is_grouped_can_be_said(path: str) -> None:
    lines = [line.split() for line in usage("--store", path, "--by", "tenant, backend").stdout.splitlines()]
    assert [line[:3] for line in lines[1:]] == [["ada", "EAST", "1,205"], ["ada", "WEST", "1"], ["bob", "EAST", "1"],
                                                ["all", "1,207", "1,000,039"]]  # fmt: skip
    lines = [line.split() for line in usage("--store", path, "--by", "").stdout.splitlines()]
    assert lines[1][0] == "1,207"


def test_days_are_inclusive(path: str) -> None:
    def total(*options: str) -> int:
        told = json.loads(usage("--store", path, "--format", "json", *options).stdout)
        return int(told["all"]["requests"])

    assert total("--since", "2026-11-21") == 2
    assert total("--until", "2026-11-20") == 1205
    assert total("--since", "2026-11-20", "--until", "2026-11-21") == 1207
    assert total("--since", "2027-01-01") == 0


def test_json_is_for_programs(path: str) -> None:
    told = json.loads(usage("--store", path, "--format", "json", "--by", "day").stdout)
    assert told["by"] == ["day"]
    assert [row["day"] for row in told["rows"]] == ["2026-11-20", "2026-11-21"]
    assert told["rows"][1]["total"] == 15
    assert told["all"]["reasoning"] == 2


def test_csv_is_for_spreadsheets_and_holds_no_formula(path: str) -> None:
    rows = list(csv.DictReader(io.StringIO(usage("--store", path, "--format", "csv").stdout)))
    assert [row["deployment"] for row in rows] == ["chat", "chat", "'=cmd"]
    assert sum(int(row["total"]) for row in rows) == 1_200_055
    assert rows[0]["audio_seconds"] == "0.0"


def test_several_stores_are_one_report(path: str) -> None:
    told = json.loads(usage("--store", path, "--store", path, "--format", "json").stdout)
    assert told["all"]["requests"] == 2 * 1207


def test_the_store_is_found_where_the_configuration_names_it(path: str) -> None:
    found = {"BACKEND_1_URL": "https://one.example", "BACKEND_1_APIKEY": "k"}
    assert "1,207" in usage(**found, LB_USAGE_STORE=path).stdout
    unnamed = usage(**found, LB_USAGE_STORE="")
    assert unnamed.exit_code == 2
    assert "--store or LB_USAGE_STORE" in unnamed.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--store", "/nowhere/at/all.db"), 1, "lb: /nowhere/at/all.db: there is no such file"),
        (("--by", "tenant,model", "--store", "x"), 2, "allowed are day, tenant, deployment, backend, call, source"),
        (("--by", "day,day", "--store", "x"), 2, "each once"),
        (("--since", "yesterday", "--store", "x"), 2, "%Y-%m-%d"),
    ],
)
def test_what_cannot_be_done_is_said(options: tuple[str, ...], code: int, said: str) -> None:
    result = usage(*options)
    assert (result.exit_code, said in result.stderr) == (code, True)
    assert not result.stdout
