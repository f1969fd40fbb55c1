"""The client leaves: at whatever point, everything is closed, returned, and told once, and nobody is to blame."""

import asyncio
from collections.abc import Callable

import pytest
from fakes import FakeClient, FakeReply, Story, ok, request, status, stream, throttled
from virtual import in_virtual_time

from lb.events import Attempted, Judged, Outcome
from lb.exchange import ClientGone, Ended

FOREVER = 1e6
OPENING = b'event: response.created\ndata: {"type":"response.created"}\n\n'


async def hang() -> FakeReply:
    await asyncio.sleep(FOREVER)
    raise AssertionError


def hanging_body(*headers: tuple[str, str]) -> Callable[[], FakeReply]:
    return lambda: FakeReply(200, headers, [b"begun", FOREVER])


POINTS: dict[str, dict[str, list[object]]] = {
    "waiting for the head": {"a": [hang]},
    "waiting for the second backend's head": {"a": [throttled()], "b": [hang]},
    "waiting after a kept fault": {"a": [status(500, b"kept")], "b": [hang]},
    "before the first event": {"a": [stream(FOREVER)]},
    "while the opening is held": {"a": [stream(OPENING, FOREVER)]},
    "while an error is read": {"a": [lambda: FakeReply(404, [], [b"x", FOREVER])]},
    "while the body is relayed": {"a": [hanging_body()]},
    "while a stream is relayed": {"a": [stream(b"data: 1\n\n", FOREVER)]},
    "while a kept fault is relayed": {"a": [lambda: FakeReply(500, [], [b"x", FOREVER])], "b": [status(502)]},
}


@pytest.mark.parametrize("limit", [0.0, 1000.0])
@pytest.mark.parametrize("point", POINTS)
def test_cancelled_at_any_await_nothing_stays_open(point: str, limit: float) -> None:
    @in_virtual_time
    async def tell() -> None:
        scripts = {name: list(entries) for name, entries in POINTS[point].items()}
        if point == "while a kept fault is relayed":
            scripts = {"b": scripts["b"], "a": scripts["a"]}
        story = Story(scripts, clock=asyncio.get_running_loop().time, first_event=limit)
        client = FakeClient()
        serving = asyncio.create_task(story.ask(request(), client))
        await asyncio.sleep(0.5)
        assert not serving.done()
        client.gone = True
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert story.finished.outcome is Outcome.ABANDONED
        assert story.finished.attempts == len(story.asked)
        story.at_rest()
        assert [reply.closed >= 1 for reply in story.transport.replies] == [True] * len(story.transport.replies)
        judged = {fact.backend.name for fact in story.told(Judged)}
        rows = {row.backend.name: row for row in story.pool.snapshot(story.clock())}
        for name in set(story.asked) - judged:
            assert (rows[name].state, rows[name].strikes) == ("available", 0), "a penalty for a client that left"

    tell()


@pytest.mark.parametrize("steps", range(1, 40))
def test_cancelled_after_any_number_of_steps_of_the_loop(steps: int) -> None:
    @in_virtual_time
    async def tell() -> None:
        scripts = {
            "a": [throttled()],
            "b": [stream(OPENING, OPENING, b'data: {"error":{"code":"500"}}\n\n')],
            "c": [_stepwise],
        }
        story = Story(scripts, clock=asyncio.get_running_loop().time, first_event=100.0)
        serving = asyncio.create_task(story.ask())
        for _ in range(steps):
            await asyncio.sleep(0)
        serving.cancel()
        try:
            await serving
        except asyncio.CancelledError:
            assert not story.facts or story.finished.outcome in (Outcome.ABANDONED, Outcome.RELAYED)
        else:
            assert story.finished.outcome is Outcome.RELAYED
        story.at_rest()

    tell()


async def _stepwise() -> FakeReply:
    for _ in range(10):
        await asyncio.sleep(0)
    return FakeReply(200, [], [piece for _ in range(10) for piece in (b"x", 0.0)])


@in_virtual_time
async def test_waiting_for_a_trial_can_be_cancelled() -> None:
    story = Story({"a": [throttled(1), hang]}, clock=asyncio.get_running_loop().time)
    await story.ask()
    await asyncio.sleep(1)
    trials = [asyncio.create_task(story.ask()) for _ in range(2)]
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(story.ask())
    await asyncio.sleep(0.1)
    assert len(story.failover.permits.waiting) == 1
    for task in (waiting, *trials):
        task.cancel()
    await asyncio.gather(waiting, *trials, return_exceptions=True)
    assert len(story.told(Attempted)) == 3
    story.at_rest()


@pytest.mark.parametrize(("ended", "outcome"), [(Ended.DRAINED, Outcome.DRAINED), (Ended.REFUSED, Outcome.REFUSED)])
@in_virtual_time
async def test_what_we_end_ourselves_is_not_laid_at_the_clients_door(ended: Ended, outcome: Outcome) -> None:
    story = Story({"a": [hanging_body()]}, clock=asyncio.get_running_loop().time)
    client = FakeClient()
    serving = asyncio.create_task(story.ask(request(), client))
    await asyncio.sleep(0.5)
    client.gone, client.ended = True, ended
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert story.finished.outcome is outcome
    story.at_rest()


@in_virtual_time
async def test_a_client_that_is_found_gone_while_relaying_ends_as_abandoned() -> None:
    story = Story({"a": [ok()]})
    client = FakeClient(leaves_after=0)
    with pytest.raises(ClientGone):
        await story.ask(client=client)
    assert story.finished.outcome is Outcome.ABANDONED
    assert {row.state for row in story.pool.snapshot(story.clock())} == {"available"}
    story.at_rest()


@in_virtual_time
async def test_our_own_bug_ends_as_crashed_and_leaves_nothing_open() -> None:
    class Broken(FakeClient):
        async def relay(self, reply: object, extra: object) -> None:
            raise ZeroDivisionError

    for scripts in ({"a": [status(500, b"x")], "b": [ok()]}, {"a": [lambda: 1 / 0]}):
        story = Story(scripts)
        with pytest.raises(ZeroDivisionError):
            await story.ask(client=Broken())
        assert story.finished.outcome is Outcome.CRASHED
        story.at_rest()
