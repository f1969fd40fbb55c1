"""Reading the balancer's log: which lines are shown, in which order."""

import json
from typing import Any

from lb.demo.journal import IN_STREAM, MOST_OPEN, Journal, Line, Rate


def proxying(request: str, backend: str, attempt: int = 1) -> str:
    return _line(f"Proxying to http://{backend}/x", request_id=request, backend=backend, attempt=attempt)


def received(request: str, backend: str, status: int, verdict: str) -> str:
    return _line(f"Received response {status}", request_id=request, backend=backend, verdict=verdict)


def _line(event: str, **fields: Any) -> str:
    return json.dumps({"timestamp": "2026-11-21T10:13:19.250Z", "level": "info", "event": event, **fields})


def notes(lines: list[Line]) -> list[tuple[str | None, str]]:
    return [(line.backend, line.note) for line in lines]


def test_a_failover_is_shown_as_one_story_once_its_last_attempt_is_answered() -> None:
    journal = Journal()
    assert journal.hear(proxying("r1", "BACKEND_1"), 0.0) == []
    assert journal.hear(received("r1", "BACKEND_1", 429, "throttled"), 0.0) == []
    assert journal.hear(proxying("r1", "BACKEND_2", 2), 0.0) == []
    shown = journal.hear(received("r1", "BACKEND_2", 200, "relayed"), 0.0)
    assert notes(shown) == [("BACKEND_1", "429"), ("BACKEND_2", "200")]
    assert shown[0].text == "Proxying to http://BACKEND_1/x"


def test_the_transition_that_a_request_caused_stands_within_its_story() -> None:
    journal = Journal()
    unhealthy = "Destination `BACKEND_1` marked as unhealthy, reactivation in 00:00:07"
    journal.hear(proxying("r1", "BACKEND_1"), 0.0)
    assert journal.hear(_line(unhealthy, request_id="r1", backend="BACKEND_1", deployment="chat"), 0.0) == []
    journal.hear(received("r1", "BACKEND_1", 429, "throttled"), 0.0)
    journal.hear(proxying("r1", "BACKEND_2", 2), 0.0)
    shown = journal.hear(received("r1", "BACKEND_2", 200, "relayed"), 0.0)
    assert notes(shown) == [("BACKEND_1", "429"), ("BACKEND_1", "chat"), ("BACKEND_2", "200")]


def test_a_transition_that_belongs_to_no_running_request_is_shown_at_once() -> None:
    shown = Journal().hear(_line("Destination `BACKEND_1` is available again", backend="BACKEND_1"), 0.0)
    assert [line.text for line in shown] == ["Destination `BACKEND_1` is available again"]


def test_a_refusal_within_a_stream_is_told_from_an_answer() -> None:
    journal = Journal()
    journal.hear(proxying("r1", "BACKEND_2"), 0.0)
    assert journal.hear(received("r1", "BACKEND_2", 200, "throttled"), 0.0) == []
    journal.hear(proxying("r1", "BACKEND_3", 2), 0.0)
    assert notes(journal.hear(received("r1", "BACKEND_3", 200, "relayed"), 0.0))[0] == ("BACKEND_2", IN_STREAM)


def test_an_attempt_without_a_response_says_none() -> None:
    journal = Journal()
    journal.hear(proxying("r1", "BACKEND_1"), 0.0)
    journal.hear(_line("No response from BACKEND_1: refused", request_id="r1", verdict="faulted"), 0.0)
    journal.hear(proxying("r1", "BACKEND_2", 2), 0.0)
    assert notes(journal.hear(received("r1", "BACKEND_2", 200, "relayed"), 0.0))[0] == ("BACKEND_1", "none")


def test_of_many_plain_requests_only_a_sample_is_shown_but_all_are_counted() -> None:
    journal = Journal()
    shown = []
    for number in range(100):
        journal.hear(proxying(f"r{number}", "BACKEND_1"), number / 50)
        shown += journal.hear(received(f"r{number}", "BACKEND_1", 200, "relayed"), number / 50)
    assert 2 <= len(shown) <= 4
    assert journal.lines == 200


def test_errors_of_the_balancer_are_always_shown() -> None:
    shown = Journal().hear(json.dumps({"level": "error", "event": "Request crashed"}), 0.0)
    assert [(line.text, line.level) for line in shown] == [("Request crashed", "error")]


def test_lines_that_are_no_json_objects_are_passed_over() -> None:
    journal = Journal()
    assert [journal.hear(raw, 0.0) for raw in ("", "Traceback", "{broken", "[1]", '"text"')] == [[]] * 5
    assert journal.lines == 0


def test_requests_that_never_end_do_not_fill_the_memory() -> None:
    journal = Journal()
    for number in range(MOST_OPEN + 1):
        journal.hear(proxying(f"r{number}", "BACKEND_1"), 0.0)
    assert journal.hear(received("r0", "BACKEND_1", 200, "relayed"), 0.0) == []
    assert len(journal.hear(received(f"r{MOST_OPEN}", "BACKEND_1", 200, "relayed"), 0.0)) == 1


def test_a_rate_lets_a_burst_pass_and_then_as_many_as_it_says() -> None:
    rate = Rate(per_second=2, burst=3)
    assert [rate.lets(0.0) for _ in range(4)] == [True, True, True, False]
    assert [rate.lets(0.5), rate.lets(0.5)] == [True, False]
