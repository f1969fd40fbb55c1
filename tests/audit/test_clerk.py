"""The clerk's loop with a sink that the test holds: batches, retries, what a sink can never take, and orphans."""

import asyncio
import json
import signal
import sys
from contextlib import suppress
from itertools import count
from typing import Any

import orjson
import pytest
from audit_facts import facts

from lb.audit import clerk
from lb.audit.clerk import Clerk, _reason
from lb.audit.frames import REPORT, THREE, Messages
from lb.audit.records import Desk
from lb.audit.redaction import Redaction, TookTooLong


class FakeSink:
    """Fails as long as it is told to, then takes everything but what is too large for it."""

    def __init__(self, failures: int = 0, most: int = 10**6) -> None:
        self.failures = failures
        self.most = most
        self.batches: list[list[bytes]] = []
        self.closed = False

    async def write(self, lines: list[bytes]) -> int:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        self.batches.append([line for line in lines if len(line) <= self.most])
        return len(lines) - len(self.batches[-1])

    async def close(self) -> None:
        self.closed = True


def frame(name: str) -> bytes:
    told = orjson.dumps(facts(name))
    return THREE.pack(len(told), 0, 0) + told


async def worked(sink: FakeSink, stream: bytes, hook: Any = None, *, orphan: bool = False) -> list[dict[str, Any]]:
    """The reports of a clerk that is given this stream and then its end."""
    reader, told = asyncio.StreamReader(), bytearray()
    reader.feed_data(stream)
    reader.feed_eof()

    async def tell(message: bytes) -> None:
        told.extend(message)

    working = Clerk(reader, tell, Desk(Redaction({}, hook), 1000, 5000), sink, lambda: orphan)
    async with asyncio.timeout(30):
        await working.work()
    assert sink.closed
    return [json.loads(payload) for tag, payload in Messages().feed(bytes(told)) if tag == REPORT]


def total(reports: list[dict[str, Any]], name: str) -> int:
    return sum(report[name] for report in reports)


async def test_lines_are_written_in_batches() -> None:
    sink = FakeSink()
    reports = await worked(sink, b"".join(frame(f"r-{number}") for number in range(2500)))
    assert [len(batch) for batch in sink.batches] == [1000, 1000, 500]
    assert (total(reports, "done"), total(reports, "written")) == (2500, 2500)


async def test_lines_that_could_not_be_written_are_tried_again_and_that_is_told_once() -> None:
    sink = FakeSink(failures=2)
    reports = await worked(sink, frame("one") + frame("two"))
    assert len(sink.batches) == 1
    assert [report["failing"] for report in reports] == ["OSError: [Errno 28] No space left on device", None]
    assert total(reports, "written") == 2


async def test_what_a_sink_can_never_take_is_dropped_and_counted() -> None:
    reports = await worked(FakeSink(most=10), frame("one"))
    assert (total(reports, "done"), total(reports, "written"), total(reports, "dropped")) == (1, 0, 1)


async def test_records_that_the_operators_function_does_not_want_are_done_and_not_written() -> None:
    sink = FakeSink()
    reports = await worked(sink, frame("one") + frame("two"), lambda record: None)
    assert not sink.batches
    assert (total(reports, "done"), total(reports, "written"), total(reports, "dropped")) == (2, 0, 0)


async def test_without_a_balancer_it_does_not_try_for_ever() -> None:
    reports = await worked(FakeSink(failures=10**6), frame("one"), orphan=True)
    assert (total(reports, "done"), total(reports, "written")) == (1, 0)


async def test_a_frame_that_was_cut_is_no_record() -> None:
    sink = FakeSink()
    await worked(sink, frame("one") + frame("two")[:-3])
    assert len(sink.batches[0]) == 1


def test_what_an_identity_service_said_is_not_told() -> None:
    class ClientAuthenticationError(Exception): ...

    assert _reason(ClientAuthenticationError("access_token: eyJ...")) == "ClientAuthenticationError"
    assert _reason(OSError("line one\nline two")) == "OSError: line one"


def swallowing(record: dict[str, Any]) -> dict[str, Any]:
    """Takes any `Exception` for its own, and goes on."""
    for _ in range(10**9):
        with suppress(Exception):
            sum(range(1000))
    return record


def swallowing_once(record: dict[str, Any]) -> dict[str, Any]:
    try:
        swallowing(record)
    except BaseException:
        return record
    return record


def going_on(record: dict[str, Any]) -> dict[str, Any]:
    """Needs to be told more than once."""
    swallowing_once(record)
    return swallowing(record)


@pytest.mark.parametrize("hook", [swallowing, swallowing_once, going_on])
def test_a_function_that_swallows_the_alarm_costs_the_record_its_content(hook: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(clerk, "REDACTION_SECONDS", 0.1)
    monkeypatch.setattr(clerk, "AGAIN_SECONDS", 0.1)
    before = signal.signal(signal.SIGALRM, clerk._too_long)
    try:
        told = Redaction({}, hook, within=clerk._within_limit).apply({"prompt": "secret", "status": 200})
        assert told == {"status": 200, "content_dropped": "redaction failed: TookTooLong"}
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("call", range(5))
def test_an_alarm_at_any_call_on_the_way_out_leaves_no_timer(call: int) -> None:
    """Python sees signals where a function written in it begins; so does the tracer here."""
    calls, before = count(), sys.gettrace()

    def alarm(frame: object, event: str, arg: object) -> None:
        if event == "call" and next(calls) == call:
            clerk._too_long(signal.SIGALRM, frame)

    try:
        with clerk._within_limit():
            sys.settrace(alarm)
    except TookTooLong:
        assert call < 2, "there are no calls before the alarm is for nobody, but those into the context manager"
    finally:
        sys.settrace(before)
    assert not clerk._armed
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
