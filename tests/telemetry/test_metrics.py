"""What `/metrics` counts, and that nobody can make it count without end."""

import time
from typing import Any

import pytest

from lb.balancing.backend import Backend
from lb.events import Attempted, Cooled, Ejected, Exhausted, Finished, Judged, Outcome, OverQuota, Restored
from lb.metering.usage import UNKNOWN, Usage
from lb.telemetry.families import BY_NAME
from lb.telemetry.metrics import ROWS, Metrics
from lb.telemetry.tallies import Snapshot
from tests.made import made

ONE = Backend("BACKEND_1", "https://one.example")


def finished(**more: Any) -> Finished:
    plain = {"call": "chat", "first_byte": 0.5, "waited": 0.498}
    ended = Finished("r-1", "POST", "chat", Outcome.RELAYED, 200, 1, 0.7, "BACKEND_1", tenant="Ada")
    return made(ended, **{**plain, **more})


def judged(verdict: str = "relay", status: int | None = 200, deployment: str = "chat") -> Judged:
    return Judged("r-1", ONE, deployment, 1, status, verdict, 0.5)


def told(*events: Any, **settings: Any) -> Snapshot:
    metrics = Metrics(**settings)
    for event in events:
        metrics(event)
    return metrics.snapshot()


def test_tokens_are_counted_by_backend_tenant_and_api_in_lower_case() -> None:
    usage = Usage(120, 30, 150, cached=64, reasoning=12, audio_in=3, audio_out=2)
    seen = told(finished(usage=usage), finished(usage=Usage(1, 2, 3)))
    labels = ["backend_1", "ada", "chat"]
    assert seen["openai_prompt_tokens_total"] == [[*labels, 121]]
    assert seen["openai_completion_tokens_total"] == [[*labels, 32]]
    assert seen["openai_total_tokens_total"] == [[*labels, 153]]
    assert seen["openai_total_tokens_processed"] == [[*labels, 3]]
    assert seen["openai_cached_tokens_total"] == [[*labels, 64]]
    assert seen["openai_reasoning_tokens_total"] == [[*labels, 12]]
    assert seen["openai_audio_tokens_total"] == [[*labels, "in", 3], [*labels, "out", 2]]


def test_what_could_not_be_read_is_counted_by_error_and_the_first_of_a_kind_is_told() -> None:
    heard: list[Finished] = []
    metrics = Metrics()
    metrics.unread = heard.append
    first, second = finished(usage=UNKNOWN, unread=KeyError("a")), finished(usage=UNKNOWN, unread=KeyError("b"))
    for event in (first, second, finished(usage=UNKNOWN)):
        metrics(event)
    seen = metrics.snapshot()
    assert seen["lb_usage_failures_total"] == [["KeyError", 2]]
    assert seen["lb_usage_total"][-1][-2:] == ["unknown", 3]
    assert heard == [first]


def test_a_token_histogram_counts_each_reply_once_and_adds_up() -> None:
    seen = told(*[finished(usage=Usage(n, 0, n)) for n in (5, 10, 11, 1000)], tokens=(10, 100))
    assert seen["openai_prompt_tokens"] == [["backend_1", "ada", "chat", [2, 1, 1, 1026]]]


def test_an_unknown_cost_is_a_reply_of_unknown_cost_and_not_zero_tokens() -> None:
    seen = told(finished(usage=UNKNOWN))
    assert ["backend_1", "ada", "chat", "unknown", 1] in seen["lb_usage_total"]
    assert not [name for name in seen if name.startswith("openai_")]


def test_estimates_are_told_apart() -> None:
    seen = told(finished(usage=Usage(1, 2, 3)), finished(usage=Usage(4, 5, 9, estimated=True)))
    assert seen["openai_estimated_tokens_total"] == [["backend_1", "ada", "chat", 9]]
    assert seen["openai_total_tokens_total"] == [["backend_1", "ada", "chat", 12]]
    assert [row[-2:] for row in seen["lb_usage_total"]] == [["reported", 1], ["estimated", 1], ["unknown", 0]]


def test_a_better_count_replaces_the_estimate_when_it_comes() -> None:
    waiting: list[Any] = []
    metrics = Metrics(later=lambda recount, tell: waiting.append((recount, tell)))
    rough = Usage(4, 5, 9, estimated=True)
    better = Usage(6, 7, 13, estimated=True)
    for _ in range(2):
        metrics(finished(usage=rough, recount=lambda count: better))
    assert "openai_total_tokens_total" not in metrics.snapshot()
    (recount, tell), (_, tell_other) = waiting
    tell(recount(len))
    assert metrics.snapshot()["openai_total_tokens_total"] == [["backend_1", "ada", "chat", 13]]
    tell_other(None)
    assert metrics.snapshot()["openai_total_tokens_total"] == [["backend_1", "ada", "chat", 22]]


def test_requests_are_counted_by_how_they_ended() -> None:
    ends = [finished(), finished(), finished(outcome=Outcome.CUT), finished(outcome=Outcome.EXHAUSTED, status=429)]
    seen = told(*ends)
    assert seen["lb_requests_total"] == [
        ["ada", "chat", "relayed", "200", 2],
        ["ada", "chat", "cut", "200", 1],
        ["ada", "chat", "exhausted", "429", 1],
    ]


def test_times_go_to_their_buckets() -> None:
    seen = told(finished(), finished(first_byte=None), seconds=(0.01, 0.6))
    assert seen["lb_duration_seconds"] == [["ada", "chat", [0, 0, 2, 1.4]]]
    assert seen["lb_first_byte_seconds"] == [["ada", "chat", [0, 1, 0, 0.5]]]
    (row,) = seen["lb_added_seconds"]
    assert row[-1] == [1, 0, 0, pytest.approx(0.002)]


def test_how_long_a_websocket_is_open_is_no_duration() -> None:
    seen = told(finished(), finished(status=101, seconds=1800), seconds=(0.6,))
    assert seen["lb_duration_seconds"] == [["ada", "chat", [0, 1, 0.7]]]
    assert [row[-2:] for row in seen["lb_requests_total"]] == [["200", 1], ["101", 1]]


def test_refusals_count_as_absorbed_where_somebody_answered() -> None:
    answered = finished(throttled=2)
    refused = finished(throttled=3, first_byte=None, outcome=Outcome.EXHAUSTED, status=429)
    assert told(answered, refused)["lb_absorbed_total"] == [["ada", "chat", 2]]


def test_attempts_are_counted_by_verdict() -> None:
    seen = told(Attempted("r-1", ONE, "chat", b"/", 1), judged(), judged(), judged("throttled", 429))
    assert seen["lb_attempts_total"] == [["BACKEND_1", "chat", "relay", 2], ["BACKEND_1", "chat", "throttled", 1]]


def test_what_happens_to_backends_is_counted() -> None:
    seen = told(
        Cooled(ONE, "chat", 7.5, "429"),
        Cooled(ONE, "chat", 2.5, "429"),
        Ejected(ONE, "chat", 10, "500"),
        Ejected(ONE, "chat", 10, "401", misconfigured=True),
        Ejected(ONE, None, 10, "refused", whole=True),
        Restored(ONE, "chat"),
        Restored(ONE, None, whole=True),
        Exhausted("r-1", "chat", 3),
        OverQuota("r-1", "ada", "chat", "tokens_per_minute", 3),
        deployments=["chat"],
    )
    assert seen == {
        "lb_cooldowns_total": [["BACKEND_1", "chat", 2]],
        "lb_cooldown_seconds_total": [["BACKEND_1", "chat", 10]],
        "lb_ejections_total": [
            ["BACKEND_1", "chat", "faults", 1],
            ["BACKEND_1", "chat", "misconfigured", 1],
            ["BACKEND_1", "all", "faults", 1],
        ],
        "lb_returns_total": [["BACKEND_1", "chat", 1], ["BACKEND_1", "all", 1]],
        "lb_exhausted_total": [["chat", 1]],
        "lb_quota_refusals_total": [["ada", "chat", "tokens_per_minute", 1]],
    }


def test_what_could_have_happened_and_did_not_is_zero_and_not_missing() -> None:
    seen = told(judged(), Cooled(ONE, "chat", 7, "429"))
    assert seen["lb_cooldowns_total"] == [["BACKEND_1", "chat", 1]]
    assert seen["lb_exhausted_total"] == [["chat", 0]]
    assert seen["lb_ejections_total"] == [["BACKEND_1", "chat", "faults", 0], ["BACKEND_1", "chat", "misconfigured", 0]]


def test_names_that_nobody_serves_make_no_series() -> None:
    made_up = [finished(deployment=f"made-up-{n}", status=404) for n in range(1000)]
    attempts = [judged("relay", 404, f"made-up-{n}") for n in range(1000)]
    seen = told(*made_up, *attempts, deployments=["chat"])
    assert seen["lb_requests_total"] == [["ada", "other", "relayed", "404", 1000]]
    assert seen["lb_attempts_total"] == [["BACKEND_1", "other", "relay", 1000]]


def test_a_name_that_is_served_has_its_own_series_from_then_on() -> None:
    seen = told(
        finished(deployment="New", status=404), finished(deployment="New"), finished(deployment="New", status=404)
    )
    assert sorted(seen["lb_requests_total"]) == [
        ["ada", "new", "relayed", "200", 1],
        ["ada", "new", "relayed", "404", 1],
        ["ada", "other", "relayed", "404", 1],
    ]


def test_there_is_a_bound_even_for_names_that_are_served() -> None:
    metrics = Metrics()
    for tenant in range(200):
        for deployment in range(300):
            metrics(finished(tenant=f"t{tenant}", deployment=f"d{deployment}", usage=Usage(1, 1, 2)))
    seen = metrics.snapshot()
    assert len(seen["lb_duration_seconds"]) <= ROWS + 1
    assert sum(row[-1] for row in seen["lb_requests_total"]) == 60_000
    assert sum(row[-1] for row in seen["openai_total_tokens_total"]) == 120_000
    assert len({row[1] for row in seen["lb_requests_total"]}) <= 202


def test_every_row_fits_its_family() -> None:
    usage = Usage(1, 2, 3)
    seen = told(finished(usage=usage, tenant=None, deployment=None, backend=None), judged(), Exhausted("r", None, 1))
    for name, rows in seen.items():
        assert all(len(row) == len(BY_NAME[name].labels) + 1 for row in rows)


def test_what_it_adds_to_a_request_is_microseconds() -> None:
    metrics = Metrics(["chat"])
    events = (judged(), finished(usage=Usage(120, 30, 150)))
    best = 1.0
    for _ in range(50):
        started = time.perf_counter()
        for _ in range(200):
            for event in events:
                metrics(event)
        best = min(best, (time.perf_counter() - started) / 200)
    assert best < 30e-6  # about 2 on a free core; the bound is for a crowded one
