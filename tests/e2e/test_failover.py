"""What a whole platform does to the balancer, and the balancer to its backends: many clients, sockets, real time."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from balancer import PATIENCE, Balancer, backends

from lb.sim import Settings, Simulator, Span

CHAT = "/openai/deployments/chat/chat/completions?api-version=2024-10-21"
EMBEDDINGS = "/openai/deployments/embedding/embeddings?api-version=2024-10-21"
BODY = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


def moment(line: dict[str, Any]) -> float:
    """When the balancer wrote it, in seconds: what is late here says nothing of what was late there."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


async def ask(session: aiohttp.ClientSession, balancer: Balancer, path: str = CHAT, **body: object) -> tuple[int, str]:
    """Status, and the backend that answered."""
    async with session.post(balancer.url + path, json={**BODY, **body}) as reply:
        await reply.read()
        return reply.status, reply.headers.get("x-lb-backend", "")


async def test_a_throttled_deployment_is_left_alone_and_comes_back_without_a_herd(
    session: aiohttp.ClientSession, three: list[Simulator]
) -> None:
    """200 concurrent clients, `Retry-After: 7`: silence for 7 s, then at most two requests until one succeeded."""
    first = Simulator(Settings(name="openai1", keep_requests=50_000))
    loop = asyncio.get_running_loop()
    async with (
        first,
        Balancer(**backends(first, *three[1:], BACKEND_2_PRIORITY="2", BACKEND_3_PRIORITY="2")) as balancer,
    ):
        assert await ask(session, balancer) == (200, "BACKEND_1")
        first.faults.add("chat=429:7*1")
        statuses: list[int] = []
        embedded: list[tuple[int, str]] = []
        end, far = math.inf, loop.time() + PATIENCE

        async def client() -> None:
            while loop.time() < min(end, far):
                statuses.append((await ask(session, balancer))[0])
                await asyncio.sleep(0.4)

        async def embed() -> None:
            while loop.time() < min(end, far):
                embedded.append(await ask(session, balancer, EMBEDDINGS, input="hello"))
                await asyncio.sleep(0.5)

        asking = asyncio.gather(*(client() for _ in range(200)), embed())
        marked = await balancer.line(lambda line: "marked as unhealthy" in line["event"])
        assert marked["event"] == "Destination `BACKEND_1` marked as unhealthy, reactivation in 00:00:07"
        await balancer.line(lambda line: line["event"] == "Destination `BACKEND_1` is available again")
        end = loop.time() + 2
        await asking
        assert set(statuses) == {200}
        assert set(embedded) == {(200, "BACKEND_1")}
        sent = [
            moment(line) - moment(marked)
            for line in balancer.events(f"Proxying to {first.url}")
            if line["deployment"] == "chat" and moment(line) > moment(marked) + 0.1
        ]
        assert min(sent) >= 6.95
        assert any(one.deployment == "chat" and one.at > end - 2.5 for one in first.received), "it never came back"


async def test_at_most_two_try_a_returning_deployment_until_one_succeeds(session: aiohttp.ClientSession) -> None:
    slow = Simulator(Settings(name="openai1", latency=Span(0.5, 0.5)))
    async with slow, Simulator(Settings(name="openai2")) as other:
        slow.faults.add("429-ms:1*1")
        async with Balancer(**backends(slow, other, BACKEND_2_PRIORITY="2")) as balancer:
            assert await ask(session, balancer) == (200, "BACKEND_2")
            await balancer.line(lambda line: line["event"].endswith("available again"))
            answers = await asyncio.gather(*(ask(session, balancer) for _ in range(50)))
            assert [status for status, _ in answers] == [200] * 50
            assert sum(backend == "BACKEND_1" for _, backend in answers) == 2
            answers = await asyncio.gather(*(ask(session, balancer) for _ in range(50)))
            assert {backend for _, backend in answers} == {"BACKEND_1"}


async def test_those_who_wait_for_a_trial_are_served_when_it_succeeds(session: aiohttp.ClientSession) -> None:
    """One backend only: nobody gets an error while it has capacity."""
    async with Simulator(Settings(name="openai1", latency=Span(0.3, 0.3))) as slow:
        slow.faults.add("429-ms:0.5*1")
        async with Balancer(**backends(slow)) as balancer:
            assert (await ask(session, balancer))[0] == 429
            await balancer.line(lambda line: line["event"].endswith("available again"))
            answers = await asyncio.gather(*(ask(session, balancer) for _ in range(20)))
            assert [status for status, _ in answers] == [200] * 20


@pytest.mark.parametrize("streaming", [False, True], ids=["json", "stream"])
async def test_a_client_that_leaves_takes_its_backend_call_with_it(
    session: aiohttp.ClientSession, streaming: bool
) -> None:
    latency = Span(0, 0) if streaming else Span(30, 30)
    slow = Simulator(Settings(latency=latency, token_delay=Span(0.5, 0.5), reply_tokens=100))
    async with slow, Balancer(**backends(slow)) as balancer:
        leaving = asyncio.create_task(ask(session, balancer, stream=streaming))
        async with asyncio.timeout(PATIENCE):
            await slow.until(lambda: slow.counts.in_flight == 1)
        await asyncio.sleep(0.5)  # a stream's first event is through
        leaving.cancel()
        await asyncio.wait([leaving])
        async with asyncio.timeout(PATIENCE):
            await slow.until(lambda: slow.counts.abandoned == 1)
        (row,) = (await balancer.settled())["backends"]
        assert (row["state"], row["strikes"], row["faulted"]) == ("available", 0, 0)


async def test_a_cut_in_the_middle_of_a_stream_is_seen_by_the_client(
    session: aiohttp.ClientSession, three: list[Simulator]
) -> None:
    for simulator in three:
        simulator.faults.add("cut-mid-stream")
    async with Balancer(**backends(*three)) as balancer:
        async with session.post(balancer.url + CHAT, json={**BODY, "stream": True}) as reply:
            assert reply.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await reply.read()
        assert sum(simulator.counts.requests for simulator in three) == 1


BEFORE_THE_HEAD = [
    "500",
    "502",
    "503",
    "503:2",
    "504",
    "408",
    "cut-before-head",
    "reset-before-head",
    "cut-mid-head",
    "garbage",
    "bad-status",
    "huge-head",
    "cl-te",
    "two-lengths",
    "401",
    "403",
    "404",
    "429",
    "429-date",
    "429-bare",
    "silence",
]
OPENINGS = "stream-throttle stream-throttle-late stream-throttle-ptu stream-throttle-bare stream-capacity stream-error"
ODDITIES = ("ok", "split", "crlf", "cr", "bom", "comments")


async def test_each_fault_before_the_head_is_absorbed(session: aiohttp.ClientSession, three: list[Simulator]) -> None:
    """Each on a deployment of its own, since health is per deployment; steady traffic pays for the retries."""
    for fault in BEFORE_THE_HEAD:
        for simulator in three[:2]:
            simulator.faults.add(f"on-{fault.replace(':', '-')}={fault}")
    settings = backends(*three, HTTP_TIMEOUT_SECONDS="0.5")
    async with Balancer(**settings) as balancer:
        for fault in BEFORE_THE_HEAD:
            path = CHAT.replace("chat", f"on-{fault.replace(':', '-')}", 1)
            for _ in range(20):
                assert (await ask(session, balancer))[0] == 200
            answers = [await ask(session, balancer, path) for _ in range(3)]
            assert answers == [(200, "BACKEND_3")] * 3, fault
            struck = [
                sum(s.faults.happened[kind] for kind in s.faults.happened if kind == fault.split(":")[0]) for s in three
            ]
            assert sum(struck) >= 2, fault


async def test_a_stream_that_opens_with_an_error_fails_over(
    session: aiohttp.ClientSession, three: list[Simulator]
) -> None:
    """Each kind of error, in each way that a stream may be written."""
    pairs = [(fault, oddity) for fault in OPENINGS.split() for oddity in ODDITIES]
    for number, (fault, oddity) in enumerate(pairs):
        for simulator in three[:2]:
            simulator.faults.add(f"d{number}={fault}")
            simulator.faults.add(f"d{number}={oddity}")
    async with Balancer(**backends(*three)) as balancer:
        for number, pair in enumerate(pairs):
            for _ in range(10):
                assert (await ask(session, balancer))[0] == 200
            path = CHAT.replace("chat", f"d{number}", 1)
            assert await ask(session, balancer, path, stream=True) == (200, "BACKEND_3"), pair


async def test_a_silent_backend_is_left_after_the_first_event_limit(
    session: aiohttp.ClientSession, three: list[Simulator]
) -> None:
    three[0].faults.add("silence*1")
    three[1].faults.add("slow-head:30*1")
    settings = backends(*three, LB_FIRST_EVENT_SECONDS="0.4", BACKEND_2_PRIORITY="2", BACKEND_3_PRIORITY="3")
    async with Balancer(**settings) as balancer:
        assert await ask(session, balancer, stream=True) == (200, "BACKEND_3")
        assert [simulator.counts.requests for simulator in three] == [1, 1, 1]


async def test_misconfigured_everywhere_is_502_and_says_so(
    session: aiohttp.ClientSession, three: list[Simulator]
) -> None:
    for simulator in three:
        simulator.faults.add("401")
    async with Balancer(**backends(*three)) as balancer, session.post(balancer.url + CHAT, json=BODY) as reply:
        assert reply.status == 502
        text = json.dumps(await reply.json())
        assert "misconfigured" in text
        assert "key-of" not in text
        loud = await balancer.line(lambda line: line["level"] == "error")
        assert "BACKEND_" in loud["event"]
