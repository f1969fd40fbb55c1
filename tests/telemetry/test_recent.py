"""The last requests with their attempts."""

from typing import Any

from lb.balancing.backend import Backend
from lb.events import Finished, Judged, Outcome
from lb.metering.usage import UNKNOWN, Usage
from lb.telemetry.recent import SLOW_SECONDS, Recent
from tests.made import made

ONE, TWO = Backend("openai1", "https://one"), Backend("openai2", "https://two")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def finished(name: str = "r", outcome: Outcome = Outcome.RELAYED, status: int | None = 200, **told: Any) -> Finished:
    plain = {"first_byte": 0.42, "waited": 0.412}
    return made(Finished(name, "POST", "chat", outcome, status, 1, 0.5, "openai2"), **plain | told)


def story(entry: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (one["backend"], one["status"], one["verdict"], one["seconds"], one["asked_seconds"])
        for one in entry["attempts"]
    ]


def test_a_request_that_went_straight_through_has_one_attempt() -> None:
    recent = Recent(Clock())
    recent(Judged("r", TWO, "gpt", 1, 200, "relayed", 0.412))
    recent(finished(usage=Usage(10, 20, 30), tenant="team-a"))
    (entry,) = recent.entries()
    assert story(entry) == [("openai2", 200, "relayed", 0.412, None)]
    assert (entry["at"], entry["tenant"], entry["tokens"], entry["first_byte_seconds"]) == (1000.0, "team-a", 30, 0.42)


def test_a_failover_is_told_as_a_story() -> None:
    recent = Recent(Clock())
    recent(Judged("r", ONE, "gpt", 1, 429, "throttled", 0.038, "HTTP 429", 7.0))
    recent(Judged("r", TWO, "gpt", 2, 200, "relayed", 0.412))
    recent(finished(attempts=2, throttled=1))
    (entry,) = recent.entries()
    assert story(entry) == [("openai1", 429, "throttled", 0.038, 7.0), ("openai2", 200, "relayed", 0.412, None)]


def test_requests_that_run_at_the_same_time_are_kept_apart() -> None:
    clock = Clock()
    recent = Recent(clock)
    recent(Judged("one", ONE, "gpt", 1, 429, "throttled", 0.038, "HTTP 429", 7.0))
    recent(Judged("two", ONE, "gpt", 1, None, "faulted", 0.1, "connect: refused"))
    recent(finished("two", attempts=2))
    clock.now += 1
    recent(finished("one", attempts=2))
    assert [(entry["request_id"], entry["attempts"][0]["verdict"]) for entry in recent.entries()] == [
        ("one", "throttled"),
        ("two", "faulted"),
    ]
    assert not recent._failed


def test_a_request_that_found_nobody_has_only_those_that_failed() -> None:
    recent = Recent(Clock())
    recent(Judged("r", ONE, "gpt", 1, 429, "throttled", 0.038, "HTTP 429", 7.0))
    recent(finished("r", Outcome.EXHAUSTED, 429, backend=None, first_byte=None, waited=0.038))
    (entry,) = recent.entries()
    assert story(entry) == [("openai1", 429, "throttled", 0.038, 7.0)]


def test_a_last_fault_that_is_relayed_is_told_once() -> None:
    recent = Recent(Clock())
    recent(Judged("r", ONE, "gpt", 1, 500, "faulted", 0.1, "HTTP 500"))
    recent(finished("r", status=500, backend="openai1", attempts=1, waited=0.1))
    (entry,) = recent.entries()
    assert story(entry) == [("openai1", 500, "faulted", 0.1, None)]


def test_a_request_that_was_refused_has_no_attempt() -> None:
    recent = Recent(Clock())
    recent(finished("r", Outcome.REFUSED, 404, backend=None, first_byte=None, attempts=0, detail="No backend"))
    (entry,) = recent.entries()
    assert (entry["attempts"], entry["status"], entry["detail"]) == ([], 404, "No backend")


def test_ten_thousand_plain_requests_do_not_push_a_failover_out() -> None:
    clock = Clock()
    recent = Recent(clock, most=5)
    recent(Judged("r", ONE, "gpt", 1, 429, "throttled", 0.038, "HTTP 429", 7.0))
    recent(finished("failed over", attempts=2))
    recent(finished("slow", first_byte=SLOW_SECONDS + 1))
    for number in range(10_000):
        clock.now += 1
        recent(finished(f"plain {number}"))
    found = [entry["request_id"] for entry in recent.entries()]
    assert found[:5] == [f"plain {number}" for number in range(9_999, 9_994, -1)]
    assert sorted(found[5:]) == ["failed over", "slow"]


def test_what_could_hold_a_prompt_is_not_kept_and_made_up_names_are_cut() -> None:
    recent = Recent(Clock())
    event = finished("x" * 5000, usage=UNKNOWN, detail="y" * 5000, recount=lambda count: Usage())
    recent(event)
    assert all(item is not event and item is not event.recount for item in recent._plain[0][1])
    (entry,) = recent.entries()
    assert (len(entry["request_id"]), len(entry["detail"]), entry["tokens"]) == (256, 256, None)
