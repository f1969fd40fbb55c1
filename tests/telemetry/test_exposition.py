"""The text that Prometheus reads, for one process and for several."""

import math

from prometheus_client.parser import text_string_to_metric_families

from lb.balancing.backend import Backend
from lb.balancing.snapshot import Row
from lb.telemetry.beliefs import belief_rows
from lb.telemetry.exposition import Exposition
from lb.telemetry.families import FAMILIES
from lb.telemetry.joining import joined, left_behind
from lb.telemetry.machine import process_rows
from lb.telemetry.names import Names
from lb.telemetry.tallies import Snapshot

PLACE = ["BACKEND_1", "chat"]


def samples(*snapshots: Snapshot, exposition: Exposition | None = None) -> dict[tuple[str, ...], float]:
    text = (exposition or Exposition()).render(snapshots).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_counter_and_a_histogram_of_the_samples_names_stand_side_by_side() -> None:
    labels = ["backend_1", "ada", "chat"]
    snapshot: Snapshot = {
        "openai_prompt_tokens_total": [[*labels, 12]],
        "openai_prompt_tokens_processed": [[*labels, 12]],
        "openai_prompt_tokens": [[*labels, [0, 1, 0, 12]]],
    }
    text = Exposition(tokens=(10, 100)).render([snapshot]).decode()
    assert "# TYPE openai_prompt_tokens_total counter" in text
    assert "# TYPE openai_prompt_tokens_processed gauge" in text
    assert "# TYPE openai_prompt_tokens histogram" in text
    where = 'method_name="chat",openai_name="backend_1",tenant_name="ada"'
    assert f"openai_prompt_tokens_total{{{where}}} 12.0" in text
    assert f'openai_prompt_tokens_bucket{{le="100.0",{where}}} 1.0' in text
    assert f'openai_prompt_tokens_bucket{{le="+Inf",{where}}} 1.0' in text
    assert f"openai_prompt_tokens_sum{{{where}}} 12.0" in text


def test_workers_add_up_and_gauges_follow_their_rule() -> None:
    one: Snapshot = {
        "lb_attempts_total": [[*PLACE, "relay", 3]],
        "lb_duration_seconds": [["ada", "chat", [1, 0, 0.5]]],
        "lb_backend_in_flight": [[*PLACE, 2]],
        "lb_backend_available": [[*PLACE, 1]],
        "lb_backend_absence_seconds": [[*PLACE, 0.0]],
        "lb_workers": [[1]],
    }
    other: Snapshot = {
        "lb_attempts_total": [[*PLACE, "relay", 4], [*PLACE, "throttled", 1]],
        "lb_duration_seconds": [["ada", "chat", [2, 1, 9.0]]],
        "lb_backend_in_flight": [[*PLACE, 5]],
        "lb_backend_available": [[*PLACE, 0]],
        "lb_backend_absence_seconds": [[*PLACE, 7.5]],
        "lb_workers": [[1]],
    }
    assert joined([one, other]) == {
        "lb_attempts_total": [[*PLACE, "relay", 7], [*PLACE, "throttled", 1]],
        "lb_duration_seconds": [["ada", "chat", [3, 1, 9.5]]],
        "lb_backend_in_flight": [[*PLACE, 7]],
        "lb_backend_available": [[*PLACE, 0]],
        "lb_backend_absence_seconds": [[*PLACE, 7.5]],
        "lb_workers": [[2]],
    }
    assert joined([one]) == one


def test_a_dead_workers_counts_stay_and_what_was_so_at_the_moment_goes() -> None:
    snapshot: Snapshot = {"lb_attempts_total": [[*PLACE, "relay", 3]], "lb_backend_in_flight": [[*PLACE, 2]]}
    assert left_behind(snapshot) == {"lb_attempts_total": [[*PLACE, "relay", 3]]}


def test_metrics_of_a_worker_of_another_version_are_left_out() -> None:
    assert joined([{"lb_of_tomorrow": [[1]]}]) == {}


def test_a_histogram_in_buckets_of_before_a_reload_does_no_harm() -> None:
    rows: Snapshot = {"lb_duration_seconds": [["ada", "chat", [1, 2, 3, 4.0]]]}
    assert samples(rows, exposition=Exposition(seconds=(1.0,))) == {}
    longer: Snapshot = {"lb_duration_seconds": [["ada", "chat", [1, 1.0]]]}
    assert joined([rows, longer])["lb_duration_seconds"] == [["ada", "chat", [1, 1.0]]]


def test_labels_that_need_escaping_are_escaped() -> None:
    name = 'a"b\\c\nd'
    assert samples({"lb_exhausted_total": [[name, 1]]}) == {("lb_exhausted_total", name): 1.0}


def test_the_process_tells_of_itself() -> None:
    seen = samples(process_rows(1_700_000_000.0))
    assert seen["process_start_time_seconds",] == 1_700_000_000.0
    assert seen["process_resident_memory_bytes",] > 1_000_000
    assert seen["process_open_fds",] >= 3
    assert seen["process_cpu_seconds_total",] > 0
    assert math.isfinite(seen["process_max_fds",])


def test_what_is_believed_of_backends_is_shown_for_names_that_are_known() -> None:
    def row(deployment: str | None, state: str, seconds: float, headroom: float | None) -> Row:
        backend = Backend("BACKEND_1", "https://one.example")
        return Row(backend, deployment, state, seconds, "", 0, 3, 0, 0, 0, headroom)

    rows = [row("chat", "cooling", 7.5, 0.25), row(None, "available", 0.0, None), row("made-up", "available", 0, 1)]
    seen = samples(belief_rows(rows, Names(10, ["chat"])))
    assert seen["lb_backend_available", "BACKEND_1", "chat"] == 0
    assert seen["lb_backend_available", "BACKEND_1", "none"] == 1
    assert seen["lb_backend_absence_seconds", "BACKEND_1", "chat"] == 7.5
    assert seen["lb_backend_headroom_ratio", "BACKEND_1", "chat"] == 0.25
    assert seen["lb_backend_in_flight", "BACKEND_1", "chat"] == 3
    assert not [key for key in seen if "made-up" in key]


def test_every_family_has_a_name_and_help_as_prometheus_wants_them() -> None:
    for family in FAMILIES:
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.help.endswith(".")
        assert (family.buckets is not None) == (family.kind == "histogram")
