"""The SDK as a sensitive client: it sees every error that gets through."""

import asyncio
import socket

import pytest

from lb.demo import traffic
from lb.demo.plan import KINDS
from lb.demo.score import Score
from lb.demo.traffic import Traffic
from lb.sim import Settings, Simulator


async def send(url: str, count: int) -> Score:
    """Send `count` requests, each kind in its turn."""
    score = Score()
    slots = asyncio.Semaphore(count)
    async with Traffic(url, "key", score) as client:
        for number, kind in zip(range(count), traffic.kinds(), strict=False):
            await slots.acquire()
            await client._one(kind, number, slots)
    return score


async def test_every_kind_of_request_gets_its_whole_answer() -> None:
    async with Simulator() as sim:
        score = await send(sim.url, len(KINDS))
    assert score.complaints == []
    assert set(score.whole) == set(KINDS)


async def test_a_429_is_seen_and_not_tried_again() -> None:
    async with Simulator(Settings(faults=("429:1",))) as sim:
        score = await send(sim.url, len(KINDS))
        assert sim.counts.requests == len(KINDS)
    assert {complaint.status for complaint in score.complaints} == {429}
    assert len(score.complaints) == len(KINDS)


@pytest.mark.parametrize("fault", ["cut-mid-stream", "reset-mid-stream", "stream-throttle", "stream-error"])
async def test_a_stream_that_is_not_whole_is_seen(fault: str) -> None:
    async with Simulator(Settings(faults=(fault,))) as sim:
        score = await send(sim.url, len(KINDS))
    assert {complaint.kind for complaint in score.complaints} == {"streamed chat", "streamed response on v1"}
    assert score.answered == len(KINDS) - len(score.complaints)


async def test_a_refused_connection_is_seen() -> None:
    with socket.socket() as silent:  # bound, so that nobody else gets the port, and not listening
        silent.bind(("127.0.0.1", 0))
        score = await send(f"http://127.0.0.1:{silent.getsockname()[1]}", 2)
    assert [complaint.status for complaint in score.complaints] == [None, None]


async def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Simulator() as sim:
        score = await send(sim.url, 2)
    assert score.answered == 2


async def test_a_run_ends_after_its_seconds_with_everything_answered() -> None:
    score = Score()
    async with Simulator() as sim, Traffic(sim.url, "key", score) as client:
        await client.run(0.3)
    assert score.started == score.answered > 0
