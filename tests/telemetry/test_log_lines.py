import time
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from lb.balancing.backend import Backend
from lb.events import (
    Attempted,
    Cooled,
    Ejected,
    Event,
    Exhausted,
    Finished,
    Judged,
    Outcome,
    Recalled,
    Restored,
    Switched,
)
from lb.telemetry.lines import LogLines
from tests.made import made

Open = Callable[..., Any]
EAST = Backend("BACKEND_4", "https://openai4.openai.azure.com/prefix")
TARGET = b"/openai/deployments/chat/chat/completions?api-version=2024-10-21&api-key=abc"

FOUR_OF_A_REQUEST: list[Event] = [
    Attempted("r1", EAST, "chat", TARGET, 1),
    Judged("r1", EAST, "chat", 1, 429, "throttled", 0.0126, "HTTP 429"),
    Attempted("r1", EAST, None, b"/openai/v1/models", 2),
    Judged("r1", EAST, None, 2, None, "faulted", 1.5, "connect: refused"),
]


def ended(outcome: Outcome, **more: Any) -> Finished:
    return made(Finished("r1", "POST", "chat", outcome, 200, 1, 0.5, "BACKEND_4"), **more)


def test_a_cost_that_could_not_be_read_is_told_without_a_word_of_the_reply(open_stream: Open) -> None:
    stream = open_stream()
    LogLines(stream.logs).unread(ended(Outcome.RELAYED, unread=zlib.error("a word of it")))
    (entry,) = stream.entries()
    assert entry["event"].startswith("What a reply cost could not be read")
    assert (entry["level"], entry["reason"], entry["request_id"]) == ("warning", "zlib.error", "r1")
    assert "a word of it" not in str(entry)


def test_each_attempt_is_told_in_two_lines(open_stream: Open) -> None:
    stream = open_stream()
    emit = LogLines(stream.logs)
    for event in FOUR_OF_A_REQUEST:
        emit(event)
    common = {"timestamp": "2026-11-21T10:13:19.250Z", "request_id": "r1", "backend": "BACKEND_4"}
    url = "https://openai4.openai.azure.com/prefix/openai"
    query = "?api-version=2024-10-21&api-key=***"
    assert stream.entries() == [
        {
            "level": "info",
            "event": f"Proxying to {url}/deployments/chat/chat/completions{query}",
            "attempt": 1,
            "deployment": "chat",
        }
        | common,
        {
            "level": "info",
            "event": "Received response 429",
            "attempt": 1,
            "ms": 13,
            "verdict": "throttled",
            "deployment": "chat",
        }
        | common,
        {"level": "info", "event": f"Proxying to {url}/v1/models", "attempt": 2} | common,
        {
            "level": "warning",
            "event": "No response from BACKEND_4: connect: refused",
            "attempt": 2,
            "ms": 1500,
            "verdict": "faulted",
            "detail": "connect: refused",
        }
        | common,
    ]


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_the_status_alone_does_not_say_is_added(open_stream: Open, form: str) -> None:
    stream = open_stream(form=form)
    LogLines(stream.logs)(Judged("r1", EAST, "chat", 1, 200, "throttled", 0.1, "in-stream rate_limit_exceeded"))
    (line,) = stream.lines()
    assert "Received response 200" in line
    assert "in-stream rate_limit_exceeded" in line


def test_the_same_on_a_terminal(open_stream: Open) -> None:
    stream = open_stream(form="console")
    emit = LogLines(stream.logs)
    for event in FOUR_OF_A_REQUEST:
        emit(event)
    url = "https://openai4.openai.azure.com/prefix/openai"
    assert [line[13:] for line in stream.lines()] == [
        f"info    Proxying to {url}/deployments/chat/chat/completions?api-version=2024-10-21&api-key=***"
        "  attempt=1  request_id=r1",
        "info    Received response 429  backend=BACKEND_4  attempt=1  ms=13  request_id=r1",
        f"info    Proxying to {url}/v1/models  attempt=2  request_id=r1",
        "warning No response from BACKEND_4: connect: refused  backend=BACKEND_4  attempt=2  ms=1500  request_id=r1",
    ]


@pytest.mark.parametrize(
    ("event", "level", "text", "fields"),
    [
        (
            Cooled(EAST, "chat", 6.2, "HTTP 429", "r1"),
            "warning",
            "Destination `BACKEND_4` marked as unhealthy, reactivation in 00:00:07",
            {"backend": "BACKEND_4", "deployment": "chat", "request_id": "r1", "seconds": 6.2, "reason": "HTTP 429"},
        ),
        (
            Cooled(EAST, None, 86400 + 3661, "HTTP 429"),
            "warning",
            "Destination `BACKEND_4` marked as unhealthy, reactivation in 25:01:01",
            {"backend": "BACKEND_4", "seconds": 90061, "reason": "HTTP 429"},
        ),
        (
            Ejected(EAST, None, 10.0, "refused", "r1"),
            "warning",
            "Destination `BACKEND_4` marked as unhealthy, reactivation in 00:00:10",
            {"backend": "BACKEND_4", "request_id": "r1", "seconds": 10.0, "reason": "refused"},
        ),
        (
            Restored(EAST, "chat"),
            "info",
            "Destination `BACKEND_4` is available again",
            {"backend": "BACKEND_4", "deployment": "chat"},
        ),
        (
            Exhausted("r1", "chat", 3.2),
            "warning",
            "All backends are throttled",
            {"deployment": "chat", "request_id": "r1", "retry_after": 4},
        ),
        (
            Exhausted("r1", None, 0.01),
            "warning",
            "All backends are throttled",
            {"request_id": "r1", "retry_after": 1},
        ),
    ],
)
def test_a_transition_is_one_line(
    open_stream: Open, event: Event, level: str, text: str, fields: dict[str, object]
) -> None:
    stream = open_stream()
    LogLines(stream.logs)(event)
    assert stream.entries() == [
        {"timestamp": "2026-11-21T10:13:19.250Z", "level": level, "event": text} | fields,
    ]


def test_a_misconfigured_backend_is_an_error_that_says_what_to_do(open_stream: Open) -> None:
    stream = open_stream()
    LogLines(stream.logs)(Ejected(EAST, "chat", 60.0, "HTTP 401", "r1", misconfigured=True))
    (entry,) = stream.entries()
    assert entry["level"] == "error"
    assert entry["event"].startswith("Destination `BACKEND_4` marked as unhealthy, reactivation in 00:01:00")
    assert "lb check --probe" in entry["event"]


def test_the_end_of_a_request_is_told_only_when_something_went_wrong(open_stream: Open) -> None:
    stream = open_stream()
    emit = LogLines(stream.logs)
    for outcome in Outcome:
        emit(ended(outcome, detail="why"))
    assert [(entry["level"], entry["event"]) for entry in stream.entries()] == [
        ("warning", "Response cut by `BACKEND_4` after its first bytes went out"),
        ("warning", "Request cut by the balancer's end: it took longer than LB_DRAIN_SECONDS"),
        ("error", "Request crashed: a fault in the balancer itself"),
    ]


def test_at_debug_every_end_is_told(open_stream: Open) -> None:
    stream = open_stream(level="debug")
    LogLines(stream.logs)(ended(Outcome.RELAYED))
    (entry,) = stream.entries()
    assert (entry["level"], entry["event"], entry["ms"]) == ("debug", "Request ended: relayed", 500)


def test_at_warning_the_two_lines_of_an_attempt_are_left_out_but_not_a_missing_response(open_stream: Open) -> None:
    stream = open_stream(level="warning")
    emit = LogLines(stream.logs)
    for event in [*FOUR_OF_A_REQUEST, Restored(EAST, "chat")]:
        emit(event)
    assert [entry["event"] for entry in stream.entries()] == ["No response from BACKEND_4: connect: refused"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_that_a_client_sends_breaks_out_of_its_line(open_stream: Open, form: str) -> None:
    stream = open_stream(form=form, colour=False)
    emit = LogLines(stream.logs)
    evil = 'x"\\\r\n{"event":"forged"}\x1b[31m\x9b2J\u202e\udc80'
    raw = evil.encode("utf-8", "surrogateescape") + b"\x00\xff"
    emit(Attempted(evil, EAST, evil, b"/" + raw + b"?" + raw, 1))
    emit(Judged(evil, EAST, evil, 1, 200, "relayed", 0.1, evil))
    emit(Judged(evil, EAST, evil, 1, None, evil, 0.1, evil))
    emit(Cooled(EAST, evil, 1.0, evil, evil))
    lines = stream.lines()
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    if form == "json":
        assert all(orjson.loads(line)["request_id"].startswith('x"\\\r\n') for line in lines)


def test_strangers_cannot_fill_the_memory_with_names(open_stream: Open) -> None:
    stream = open_stream(level="info")
    renderer = stream.logs.renderer
    for number in range(3000):
        renderer.attempted(Attempted("r", EAST, f"d{number}", b"/t%d" % number, 1))
        renderer.attempted(Attempted("r", EAST, "d", b"/t?api-key=%d" % number, 1))
    assert len(renderer._quoted) <= 512
    assert len(renderer._targets) <= 512
    assert not any(b"api-key" in target for target in renderer._targets)


def test_the_two_lines_of_an_attempt_cost_little(open_stream: Open) -> None:
    stream = open_stream()
    renderer = stream.logs.renderer
    first = Attempted("6f1c2d3e-0000-4000-8000-000000000000", EAST, "chat", TARGET.partition(b"&")[0], 1)
    second = Judged(first.request_id, EAST, "chat", 1, 200, "relayed", 0.412)
    best = float("inf")
    for _ in range(20):
        began = time.thread_time()
        for _ in range(200):
            renderer.attempted(first)
            renderer.judged(second)
        best = min(best, (time.thread_time() - began) / 200)
    assert best < 20e-6, "measured 3 us; the margin is for slow and busy machines"


def test_what_an_operator_does_is_told_with_who_did_it(open_stream: Open) -> None:
    stream = open_stream(level="warning")
    emit = LogLines(stream.logs)
    for event in (Switched(EAST, True, "ada"), Recalled(EAST, "chat", "ada"), Switched(EAST, False, "loopback")):
        emit(event)
    common = {"timestamp": "2026-11-21T10:13:19.250Z", "level": "warning", "backend": "BACKEND_4"}
    assert stream.entries() == [
        {"event": "Destination `BACKEND_4` taken out by ada"} | common,
        {"event": "Cooldown of `BACKEND_4` ended by ada", "deployment": "chat"} | common,
        {"event": "Destination `BACKEND_4` put back by loopback"} | common,
    ]
