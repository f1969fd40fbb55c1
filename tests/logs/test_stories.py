"""Lines of many requests at once become one story for each."""

import random
from typing import Any

import click
import pytest
from lines import attempt, cooled, exhausted, judged, line, restored

from lb.logs.drawing import Filter, drawn
from lb.logs.stories import MOST_OPEN, Stories, Story


def told(entries: list[dict[str, Any]], end: bool = True) -> list[Any]:
    stories = Stories()
    found = [one for entry in entries for one in stories.hear(entry)]
    return [*found, *stories.close()] if end else found


def text(one: Any) -> str:
    return click.unstyle(drawn(one))


FAILOVER = [
    attempt("r1", "BACKEND_3", 1),
    judged("r1", "BACKEND_3", 1, 429, "throttled", 38),
    cooled("r1", "BACKEND_3", 7.0),
    attempt("r1", "BACKEND_1", 2),
    judged("r1", "BACKEND_1", 2, 200, "relayed", 412),
]


def test_a_failover_is_one_block() -> None:
    (story,) = told(FAILOVER)
    assert text(story).splitlines() == [
        "10:13:19.250  r1  2 attempts",
        "    429  BACKEND_3  chat  38 ms  throttled  left alone for 7 s",
        "    200  BACKEND_1  chat  412 ms",
    ]


def test_a_plain_request_is_one_line() -> None:
    (story,) = told([attempt("r1", "BACKEND_1", 1), judged("r1", "BACKEND_1", 1, 200, "relayed", 412)])
    assert text(story) == "10:13:19.250  r1  200  BACKEND_1  chat  412 ms"


def test_a_story_is_told_as_soon_as_its_answer_is_there() -> None:
    assert len(told(FAILOVER, end=False)) == 1


def test_requests_that_run_at_once_are_kept_apart_in_whatever_order_their_lines_come() -> None:
    rng = random.Random(1)  # noqa: S311
    alone = [[{**entry, "request_id": f"r{number}"} for entry in FAILOVER] for number in range(20)]
    queues, mixed = [list(one) for one in alone], []
    while any(queues):
        queue = rng.choice([queue for queue in queues if queue])
        mixed.append(queue.pop(0))
    stories = told(mixed)
    assert sorted(story.request_id for story in stories) == sorted(f"r{number}" for number in range(20))
    for story in stories:
        assert [(one.backend, one.status, one.left_alone) for one in story.tries] == [
            ("BACKEND_3", 429, 7.0),
            ("BACKEND_1", 200, None),
        ]


def test_transitions_stand_where_they_happen() -> None:
    first, story = told(
        [attempt("r1", "BACKEND_1", 1), restored("BACKEND_3"), judged("r1", "BACKEND_1", 1, 200, "relayed", 9)]
    )
    assert text(first) == "10:13:19.250  Destination `BACKEND_3` is available again  chat"
    assert isinstance(story, Story)


def test_all_throttled_ends_a_story_with_the_wait() -> None:
    entries = [attempt("r1", "BACKEND_1", 1), judged("r1", "BACKEND_1", 1, 429, "throttled", 5), exhausted("r1", 7)]
    (story,) = told(entries, end=False)
    assert text(story).splitlines()[-1] == "    => All backends are throttled, retry after 7 s"


def test_a_request_that_nobody_could_answer_is_told_after_a_while() -> None:
    failed = [
        attempt("r1", "BACKEND_1", 1),
        judged("r1", "BACKEND_1", 1, None, "faulted", 5, detail="connect: refused"),
    ]
    later = line("Draining", timestamp="2026-11-21T10:13:25.000Z")
    story, drain = told([*failed, later], end=False)
    assert text(story).splitlines() == [
        "10:13:19.250  r1  1 attempt",
        "    ---  BACKEND_1  chat  5 ms  faulted  (connect: refused)",
        "    => no backend was left",
    ]
    assert text(drain) == "10:13:25.000  Draining"
    stories = Stories()
    assert [one for entry in failed for one in stories.hear(entry)] == []
    assert len(list(stories.quiet())) == 1


def test_a_request_that_is_being_answered_is_waited_for() -> None:
    stories = Stories()
    assert list(stories.hear(attempt("r1", "BACKEND_1", 1))) == []
    assert list(stories.quiet()) == []
    assert list(stories.hear(line("Draining", timestamp="2026-11-21T10:20:00.000Z"))) != []
    (story,) = stories.close()
    assert "is under way" in text(story)
    assert "the stream ends here" in text(story)


def test_a_stream_that_begins_in_the_middle_is_told_as_far_as_it_goes() -> None:
    (story,) = told(FAILOVER[1:])
    assert [one.status for one in story.tries] == [429, 200]


def test_a_tenant_without_budget_is_a_story_without_attempts() -> None:
    (story,) = told([line("A tenant's quota is used up", request_id="r1", tenant="ada", retry_after=3)])
    assert text(story).splitlines() == [
        "10:13:19.250  r1  0 attempts",
        "    => A tenant's quota is used up, retry after 3 s",
    ]


def test_what_an_operator_has_to_repair_is_told_in_full() -> None:
    loud = cooled("r1", "BACKEND_3", 10.0) | {
        "level": "error",
        "event": "Destination `BACKEND_3` marked as unhealthy: fix",
    }
    first, story = told([*FAILOVER[:2], loud, *FAILOVER[3:]])
    assert "fix" in text(first)
    assert story.tries[0].left_alone == 10.0


def test_memory_is_bounded_however_many_never_end() -> None:
    stories = Stories()
    gone = [one for number in range(MOST_OPEN + 500) for one in stories.hear(attempt(f"r{number}", "BACKEND_1", 1))]
    assert [story.request_id for story in gone] == [f"r{number}" for number in range(500)]
    for _ in range(1000):
        list(stories.hear(attempt("r4000", "BACKEND_1", 1)))
    assert max(len(story.tries) for story in stories.close()) <= 64


@pytest.mark.parametrize(
    "odd",
    [
        {"request_id": 5},
        {"request_id": None},
        {"verdict": None},
        {"ms": "x"},
        {"backend": {}},
        {"timestamp": 7},
        {"seconds": "x"},
    ],
)
def test_lines_of_another_making_break_nothing(odd: dict[str, Any]) -> None:
    for entry in FAILOVER:
        for one in told([{**entry, **odd}]):
            drawn(one)


def kept(wanted: Filter, entries: list[dict[str, Any]]) -> list[str]:
    return [text(one).splitlines()[0] for one in told(entries) if wanted.takes(one)]


def test_only_what_is_wanted_is_told() -> None:
    plain = [attempt("r2", "BACKEND_2", 1), judged("r2", "BACKEND_2", 1, 200, "relayed", 9)]
    entries = [line("Listening on x"), *FAILOVER, *plain, restored("BACKEND_3")]
    failover, one, back = (
        "10:13:19.250  r1  2 attempts",
        "10:13:19.250  r2  200  BACKEND_2  chat  9 ms",
        ("10:13:19.250  Destination `BACKEND_3` is available again  chat"),
    )
    assert kept(Filter(None, None, failovers=False), entries) == ["10:13:19.250  Listening on x", failover, one, back]
    assert kept(Filter(None, None, failovers=True), entries) == [failover, back]
    assert kept(Filter("r2", None, failovers=False), entries) == [one]
    assert kept(Filter(None, "backend_3", failovers=False), entries) == [failover, back]
    assert kept(Filter(None, "BACKEND_2", failovers=False), entries) == [one]
