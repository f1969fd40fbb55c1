"""Several workers as a user sees them: real processes, sockets and time."""

import asyncio
import math
import os
import signal
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from balancer import PATIENCE, Balancer, backends

from lb.sim import Settings, Simulator, Span

BODY = {"messages": [{"role": "user", "content": "hello"}]}
AFTER = {"BACKEND_2_PRIORITY": "2"}
BACK = "Destination `BACKEND_1` is available again"


def moment(line: dict[str, Any]) -> float:
    """When the balancer wrote it, in seconds: what is late here says nothing of what was late there."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def chat(deployment: str = "chat") -> str:
    return f"/openai/deployments/{deployment}/chat/completions?api-version=2024-10-21"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


async def ask(session: aiohttp.ClientSession, balancer: Balancer, deployment: str = "chat") -> tuple[int, str]:
    """Status, and the backend that answered."""
    async with session.post(balancer.url + chat(deployment), json=BODY) as reply:
        await reply.read()
        return reply.status, reply.headers.get("x-lb-backend", "")


async def lines(balancer: Balancer, beginning: str, count: int) -> list[dict[str, Any]]:
    """So many lines that begin so, once they are there."""
    await balancer.line(lambda _: len(balancer.events(beginning)) >= count)
    found = balancer.events(beginning)
    assert len(found) == count
    return found


async def status_where(balancer: Balancer, so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The status once it is so: of a worker that is busy the operator listener shows what it last said."""
    async with asyncio.timeout(PATIENCE):
        while not so(status := await balancer.status()):  # noqa: ASYNC110 - other processes count
            await asyncio.sleep(0.02)
    return status


async def one_connection_to_each(stack: AsyncExitStack, balancer: Balancer) -> list[aiohttp.ClientSession]:
    """Clients with one connection each; the first is served by worker 1, and so on."""
    found: dict[int, aiohttp.ClientSession] = {}
    async with asyncio.timeout(PATIENCE):
        while len(found) < 2:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=60))
            )
            async with session.post(balancer.url + chat("warm-up"), json=BODY) as reply:
                await reply.read()
                request_id = reply.headers["x-lb-request-id"]
            line = await balancer.line(lambda line, wanted=request_id: line.get("request_id") == wanted)  # type: ignore[misc]
            found.setdefault(line["worker"], session)
    return [found[1], found[2]]


async def test_what_one_worker_learns_the_next_request_of_another_heeds(three: list[Simulator]) -> None:
    """Not one stray: the 429 that one worker absorbed is known to the other before its client can ask."""
    async with (
        Balancer(**backends(*three[:2]), **AFTER, LB_WORKERS="2") as balancer,
        AsyncExitStack() as stack,
    ):
        clients = await one_connection_to_each(stack, balancer)
        for number in range(40):
            name = f"chat{number}"
            three[0].faults.add(f"{name}=429:7*1")
            for client in (clients[number % 2], clients[1 - number % 2]):
                status, backend = await ask(client, balancer, name)
                assert (status, backend[:-1]) == (200, "BACKEND_")
                assert backend != "BACKEND_1"
        strays = Counter(one.deployment for one in three[0].received if one.deployment != "warm-up")
        assert set(strays.values()) == {1}
        assert len(strays) == 40
        marked = await lines(balancer, "Destination `BACKEND_1` marked as unhealthy", 40)
        assert {line["worker"] for line in marked} == {1, 2}
        wanted = {("BACKEND_1", f"chat{number}", "cooling") for number in range(40)}
        await status_where(
            balancer,
            lambda status: wanted <= {(row["name"], row["deployment"], row["state"]) for row in status["backends"]},
        )


async def test_under_load_a_cooldown_holds_and_two_come_back_first(session: aiohttp.ClientSession) -> None:
    """Only what was on its way meets the closed door; at its end two requests of all workers try it."""
    first = Simulator(Settings(name="openai1", latency=Span(0.3, 0.3), keep_requests=50_000))
    loop = asyncio.get_running_loop()
    async with first, Simulator(Settings(name="openai2")) as other:
        first.faults.add("chat=429:2*1")
        async with Balancer(**backends(first, other, **AFTER), LB_WORKERS="2") as balancer:
            statuses: list[int] = []

            async def client() -> None:
                while not balancer.events(BACK) or loop.time() < returned + 1:
                    statuses.append((await ask(session, balancer))[0])
                    await asyncio.sleep(0.02)

            returned = math.inf
            clients = asyncio.gather(*(client() for _ in range(40)))
            await balancer.line(lambda line: line["event"] == BACK)
            returned = loop.time()
            await clients
            assert set(statuses) == {200}
            (marked,) = await lines(balancer, "Destination `BACKEND_1` marked as unhealthy", 1)
            (back,) = await lines(balancer, BACK, 1)
            assert moment(back) - moment(marked) >= 1.95
            asked = [moment(line) for line in balancer.events(f"Proxying to {first.url}")]
            assert not [at for at in asked if moment(marked) + 0.3 < at < moment(marked) + 1.95]
            arrived = sorted(one.at for one in first.received)
            _, back_at = max((later - earlier, later) for earlier, later in pairwise(arrived))
            assert sum(back_at <= at < back_at + 0.28 for at in arrived) <= 2, "before the first of them was answered"


async def test_those_who_wait_are_served_when_the_trial_of_another_worker_succeeds(
    session: aiohttp.ClientSession,
) -> None:
    loop = asyncio.get_running_loop()
    async with Simulator(Settings(name="openai1", latency=Span(0.3, 0.3))) as slow:
        slow.faults.add("429-ms:0.5*1")
        async with Balancer(**backends(slow), LB_WORKERS="2") as balancer:
            assert (await ask(session, balancer))[0] == 429
            await balancer.line(lambda line: line["event"].endswith("available again"))
            begun = loop.time()
            answers = await asyncio.gather(*(ask(session, balancer) for _ in range(40)))
            assert [status for status, _ in answers] == [200] * 40
            assert loop.time() - begun < 5, "nobody waits until its time is up"
            assert {line["worker"] for line in await lines(balancer, "Proxying to", 41)} == {1, 2}


async def test_an_ejection_is_one_and_its_probe_is_one(session: aiohttp.ClientSession) -> None:
    first = Simulator(Settings(name="openai1", latency=Span(0.5, 0.5), keep_requests=50_000))
    loop = asyncio.get_running_loop()
    async with first, Simulator(Settings(name="openai2")) as other:
        first.faults.script("500", "500", "500")
        async with Balancer(**backends(first, other, **AFTER), LB_WORKERS="2") as balancer:
            while not balancer.events("Destination `BACKEND_1` marked"):
                assert await ask(session, balancer) == (200, "BACKEND_2")
            asked = len(first.received)
            end = loop.time() + 2 * PATIENCE

            async def client() -> None:
                while len(first.received) < asked + 30 and loop.time() < end:
                    assert (await ask(session, balancer))[0] == 200
                    await asyncio.sleep(0.05)

            await asyncio.gather(*(client() for _ in range(20)))
            later = [one.at for one in list(first.received)[asked:]]
            assert sum(at < later[0] + 0.45 for at in later) == 1
            assert len(later) >= 30
            await lines(balancer, BACK, 1)
            await lines(balancer, "Destination `BACKEND_1` marked", 1)


class Client:
    """Asks one thing after the other on a connection of its own, and counts what is lost."""

    def __init__(self, balancer: Balancer, progress: asyncio.Condition) -> None:
        self.balancer = balancer
        self.progress = progress
        self.lost = 0
        self.answers: list[tuple[float, int, str]] = []
        self.stopped = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            while not self.stopped:
                try:
                    answer = await ask(session, self.balancer)
                except aiohttp.ClientConnectionError:
                    self.lost += 1
                else:
                    self.answers.append((loop.time(), *answer))
                async with self.progress:
                    self.progress.notify_all()


async def workers_of(balancer: Balancer) -> dict[int, dict[str, Any]]:
    return {worker["worker"]: worker for worker in (await balancer.status())["workers"]}


async def test_a_killed_worker_loses_what_it_had_in_flight_and_nothing_else() -> None:
    slow = [Simulator(Settings(name=f"openai{number}", latency=Span(0.05, 0.05))) for number in (1, 2)]
    async with AsyncExitStack() as stack:
        for simulator in slow:
            await stack.enter_async_context(simulator)
        slow[0].faults.add("chat=429:60*1")
        balancer = await stack.enter_async_context(Balancer(**backends(*slow), **AFTER, LB_WORKERS="2"))
        progress = asyncio.Condition()
        clients = [Client(balancer, progress) for _ in range(30)]
        running = [asyncio.create_task(client.run()) for client in clients]
        await balancer.line(lambda line: line["event"].startswith("Destination `BACKEND_1` marked"))
        learner = balancer.events("Destination `BACKEND_1` marked")[0]["worker"]
        async with asyncio.timeout(PATIENCE), progress:
            await progress.wait_for(lambda: min(len(client.answers) for client in clients) >= 5)
        await status_where(balancer, lambda status: status["connections"] == len(clients))
        before = await workers_of(balancer)
        asked = len(slow[0].received)
        os.kill(before[learner]["pid"], signal.SIGKILL)
        killed = asyncio.get_running_loop().time()
        line = await balancer.line(lambda line: "was killed by SIGKILL" in line["event"])
        assert line["event"] == f"Worker {learner} was killed by SIGKILL; another is started"
        async with asyncio.timeout(PATIENCE):
            while (after := await workers_of(balancer)).get(learner, before[learner])["pid"] == before[learner]["pid"]:
                pass
        async with asyncio.timeout(PATIENCE), progress:
            await progress.wait_for(lambda: min(client.answers[-1][0] for client in clients) > killed + 1.0)
        for client in clients:
            client.stopped = True
        await asyncio.gather(*running)
        lost = [client.lost for client in clients]
        assert 1 <= sum(lost) <= before[learner]["connections"]
        assert max(lost) == 1
        assert {status for client in clients for _, status, _ in client.answers} == {200}
        assert after[3 - learner]["pid"] == before[3 - learner]["pid"]
        assert len(slow[0].received) == asked, "the successor forgot that BACKEND_1 cools"


async def test_counts_are_summed_and_outlive_a_worker(session: aiohttp.ClientSession, three: list[Simulator]) -> None:
    async with Balancer(**backends(*three), LB_WORKERS="2") as balancer:
        await asyncio.gather(*(ask(session, balancer) for _ in range(50)))
        status = await status_where(balancer, lambda status: status["requests"]["finished"] == 50)
        assert sum(row["served"] for row in status["backends"]) == 50
        assert {line["worker"] for line in await lines(balancer, "Proxying to", 50)} == {1, 2}
        workers = await workers_of(balancer)
        assert status["connections"] == 50
        assert min(worker["connections"] for worker in workers.values()) >= 5, "test_acceptor.py says how even it is"
        os.kill(workers[1]["pid"], signal.SIGKILL)
        await balancer.line(lambda line: "was killed" in line["event"])
        async with asyncio.timeout(PATIENCE):
            while set(now := await workers_of(balancer)) != {1, 2} or now[1]["pid"] == workers[1]["pid"]:
                pass
        status = await balancer.status()
        assert status["requests"]["finished"] == 50
        assert sum(row["served"] for row in status["backends"]) == 50


async def test_the_operator_listener_is_started_again_when_it_dies(three: list[Simulator]) -> None:
    async with Balancer(**backends(*three), LB_WORKERS="2") as balancer:
        assert balancer.process is not None
        known = {worker["pid"] for worker in (await workers_of(balancer)).values()}
        (office,) = children_of(balancer.process.pid) - known
        os.kill(office, signal.SIGKILL)
        line = await balancer.line(lambda line: "operator listener" in line["event"])
        assert line["event"] == "The operator listener was killed by SIGKILL; another is started"
        assert {worker["pid"] for worker in (await workers_of(balancer)).values()} == known


async def test_workers_end_when_the_supervisor_is_killed(
    session: aiohttp.ClientSession, three: list[Simulator]
) -> None:
    async with Balancer(**backends(*three), LB_WORKERS="2", LB_DRAIN_SECONDS="1") as balancer:
        assert balancer.process is not None
        family = children_of(balancer.process.pid)
        assert len(family) == 3
        assert (await ask(session, balancer))[0] == 200
        balancer.process.kill()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*map(end_of, family))
        assert {line["worker"] for line in await lines(balancer, "The supervisor is gone", 2)} == {1, 2}


async def test_a_worker_that_cannot_start_is_not_started_for_ever() -> None:
    program = textwrap.dedent(
        """
        from lb.app import App
        from lb.cli import main

        async def start(self, *_):
            raise RuntimeError("no way to start")

        App.start = start
        main(["serve"])
        """
    )
    environ = {k: v for k, v in os.environ.items() if not k.upper().startswith(("LB_", "BACKEND_"))}
    settings = {"LB_HOST": "127.0.0.1", "LB_PORT": "0", "LB_ADMIN_PORT": "0", "LB_WORKERS": "2"}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env={**environ, **settings, "BACKEND_1_URL": "https://one.example", "BACKEND_1_APIKEY": "any"},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * PATIENCE):
        out, _ = await command.communicate()
    lines = [orjson.loads(line) for line in out.splitlines()]
    assert command.returncode == 1
    assert any("no way to start" in line.get("exception", "") for line in lines)
    assert any(line["event"].endswith("failed to start 3 times in a row: giving up") for line in lines)
    assert sum("ended with exit code 70" in line["event"] for line in lines) <= 6
    assert lines[-1]["event"] == "Stopped"


def children_of(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def end_of(pid: int) -> None:
    """Wait until a process has ended that is not our child."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    with suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        loop.add_reader(fd, ended.set)
        await ended.wait()
        loop.remove_reader(fd)
        os.close(fd)
