"""Replicas that share budgets and cooldowns through a real Redis."""

import asyncio
import json
import random
import time
from contextlib import suppress
from operator import ne
from typing import Any

import pytest
from redis_server import Server

from lb.balancing.backend import Backend
from lb.balancing.peers import key_of
from lb.balancing.pins import NOBODY, Pin, Pins, size_of, tag
from lb.balancing.pool import Pool
from lb.events import Announcer, Cooled, Event
from lb.metering.budget import Estimate
from lb.metering.quota import Quota, Ticket
from lb.metering.tenant import Limits, Tenant
from lb.replicas.client import client, object_id
from lb.replicas.link import BROKEN, COOLED, PINNED, Link

LIMIT = 1000
GRACE = 1.0
BACKENDS = [Backend("a", "https://a.example"), Backend("b", "https://b.example", deployment_name="gpt")]


class Replica:
    """One of several, as far as they have to do with each other."""

    def __init__(self, url: str, **limits: int) -> None:
        self.quota = Quota([Tenant("ada", Limits(**limits))], lambda now: now + 1_700_000_000)
        self.told: list[Event] = []
        self.said: list[tuple[str, str]] = []
        self.pool = Pool(BACKENDS, self.told.append)
        self.pins = Pins(bytearray(size_of(20_000)))
        self.link = Link(lambda: client(url, None), self.quota, self.pool, self.pins, time.monotonic, self._say)
        self.link.grace = GRACE
        self.tell = Announcer()
        self.tell.add(self.link)
        self._task = asyncio.create_task(self.link.run())

    def _say(self, level: str, event: str, **fields: object) -> None:
        self.said.append((level, event))

    async def stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def ask(self, tokens: int) -> bool:
        return isinstance(self.quota.reserve(time.monotonic(), "ada", None, Estimate(tokens)), Ticket)

    def used(self) -> int:
        return self.quota.standings(time.monotonic(), "ada")[0].used


class World:
    """Several replicas; they are stopped at the end."""

    def __init__(self, server: Server, count: int, **limits: int) -> None:
        self.replicas = [Replica(server.url, **limits) for _ in range(count)]

    async def __aenter__(self) -> "World":
        await self.until(lambda: all(replica.link.up for replica in self.replicas))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*[replica.stop() for replica in self.replicas])

    async def until(self, so, seconds: float = 30) -> None:  # type: ignore[no-untyped-def]
        async with asyncio.timeout(seconds):
            while not so():  # noqa: ASYNC110 - the state is Redis's, and nobody tells of it
                await asyncio.sleep(0.02)

    async def spend(self, seconds: float, *shares: float, least: float = 0) -> None:
        """Every replica asks as often as its share says, and all more than there is; longer where so little is used."""
        rng = random.Random(1)  # noqa: S311 - a test's dice
        end = time.monotonic() + seconds
        while time.monotonic() < end or (self.used < least and time.monotonic() < end + 20):
            for replica, share in zip(self.replicas, shares, strict=True):
                if rng.random() < share:
                    replica.ask(rng.randint(1, 20))
            await asyncio.sleep(0.005)

    @property
    def used(self) -> int:
        return sum(replica.used() for replica in self.replicas)


async def settled(world: World) -> None:
    """The time after the first report in which nobody gets more than an even part is over."""
    await world.until(lambda: all(lease(replica).cap for replica in world.replicas))
    await asyncio.sleep(GRACE + 0.5)


async def told(world: World) -> None:
    """All have reported twice: one report may have been under way."""
    for _ in range(2):
        before = [lease(replica).granted_at for replica in world.replicas]
        await world.until(lambda before=before: all(map(ne, before, [lease(one).granted_at for one in world.replicas])))


def lease(replica: Replica):  # type: ignore[no-untyped-def]
    return replica.quota._shared()[0].lease


@pytest.mark.parametrize("shares", [(1.0, 1.0), (1.0, 0.0), (1.0, 0.05)])
async def test_together_they_use_the_budget_up_and_not_a_token_more(
    server: Server, shares: tuple[float, float]
) -> None:
    async with World(server, 2, tokens_per_minute=LIMIT) as world:
        await settled(world)
        await world.spend(4, *shares, least=0.9 * LIMIT)
        assert 0.9 * LIMIT <= world.used <= LIMIT


async def test_a_quiet_budget_is_there_for_a_large_request_at_once(server: Server) -> None:
    async with World(server, 2, tokens_per_minute=LIMIT) as world:
        await settled(world)
        assert world.replicas[0].ask(LIMIT // 2)
        assert not world.replicas[1].ask(LIMIT * 6 // 10)


async def test_what_a_replica_used_stays_used_when_it_is_gone_and_a_new_one_comes(server: Server) -> None:
    async with World(server, 2, tokens_per_day=LIMIT) as world:
        await settled(world)
        await world.spend(2, 1.0, 1.0, least=0.9 * LIMIT)
        used = world.used
        assert used >= 0.9 * LIMIT
        await told(world)
    async with World(server, 1, tokens_per_day=LIMIT) as world:
        await world.until(lambda: lease(world.replicas[0]).is_fresh(time.monotonic()))
        await world.spend(1, 1.0)
        assert used + world.used <= LIMIT


async def test_without_redis_each_lives_on_its_even_part_and_says_so(server: Server) -> None:
    async with World(server, 2, tokens_per_minute=LIMIT) as world:
        await settled(world)
        await server.kill()
        await world.until(lambda: not any(lease(replica).is_fresh(time.monotonic()) for replica in world.replicas))
        await world.spend(3, 1.0, 1.0, least=0.9 * LIMIT)
        assert 0.9 * LIMIT <= world.used <= LIMIT
        for replica in world.replicas:
            assert replica.used() <= LIMIT / 2
            assert replica.link.losses == 1
            assert [event for level, event in replica.said if level == "warning"] == [
                "Redis cannot be reached: this replica lives on its even part of every budget"
            ]


async def test_redis_dies_in_the_middle_with_all_that_it_knew_and_comes_back(server: Server) -> None:
    """The bound for a minute with a loss in it: less than twice the budget. Later ones are exact again."""
    async with World(server, 2, tokens_per_minute=LIMIT) as world:
        await settled(world)
        await world.spend(1, 1.0, 0.0)  # one has used nearly all of it
        before = world.used
        await server.kill()
        await world.spend(4, 1.0, 1.0)
        await server.start()
        await world.until(lambda: all(replica.link.up for replica in world.replicas))
        after = world.used
        assert before <= after < 2 * LIMIT
        await world.spend(3, 1.0, 1.0)
        assert world.used <= max(after, LIMIT)
        assert all(replica.said[-1] == ("info", "Redis is back") for replica in world.replicas)


async def test_a_cooldown_is_heard_by_the_others_as_seconds_left_and_told_to_nobody(server: Server) -> None:
    async with World(server, 2, tokens_per_minute=LIMIT) as world:
        one, other = world.replicas
        await asyncio.sleep(0.3)
        one.tell(Cooled(BACKENDS[1], "gpt", 7.0, "HTTP 429", "r-1"))
        one.tell(Cooled(Backend("a", "https://elsewhere.example"), "chat", 7.0, "HTTP 429", "r-2"))
        await world.until(lambda: other.pool.soonest(time.monotonic(), "chat") is not None)
        assert other.pool.soonest(time.monotonic(), "chat") == pytest.approx(7, abs=0.5)
        attempt = other.pool.begin(time.monotonic(), "chat", set(), "r")
        assert attempt is not None
        assert attempt.backend.name == "a"
        assert one.pool.soonest(time.monotonic(), "chat") is None  # its own words come back to it
        assert other.told == []


async def test_without_redis_at_the_start_a_replica_serves(server: Server) -> None:
    await server.kill()
    replica = Replica(server.url, tokens_per_minute=LIMIT)
    try:
        assert replica.ask(LIMIT)
        async with asyncio.timeout(30):
            while not replica.said:  # noqa: ASYNC110 - a log line
                await asyncio.sleep(0.02)
        assert replica.said[0][0] == "warning"
    finally:
        await replica.stop()


async def test_what_one_replica_learns_of_objects_all_know(server: Server) -> None:
    async with World(server, 3) as world:
        first, *others = world.replicas
        owner, ada = tag("https://a.example"), tag("tenant", "ada")
        names = [b"resp_%d" % number for number in range(5000)]
        for name in names:
            first.pins.learn(name, owner, ada)
        await world.until(lambda: all(replica.pins.find(names[-1]) for replica in others))
        for replica in others:
            found = sum(replica.pins.find(name) == Pin(owner, ada) for name in names)
            assert found == sum(first.pins.find(name) is not None for name in names)
            replica.pins.learn(names[0], owner, NOBODY)
        assert first.pins.find(names[0]) == Pin(owner, ada)


UNREADABLE = [
    b"",
    b"{",
    b"\xff",
    b"7",
    b"[]",
    b"{}",
    b'["n","k","a"]',
    b'["n","k","a","chat","7","r"]',
    b"[1,2,3,4,5,6]",
]


async def test_what_cannot_be_read_is_passed_over_and_what_a_later_version_adds_too(server: Server) -> None:
    async with World(server, 1) as world:
        (replica,) = world.replicas
        await asyncio.sleep(0.3)
        key = key_of(BACKENDS[0], "chat").hex()
        later = ["another", key, "a", "chat", 7.0, "HTTP 429", {"of": "a later version"}]
        redis = client(server.url, None)
        for message in (*UNREADABLE, json.dumps(later)):
            await redis.publish(COOLED, message)
        await redis.aclose()
        await world.until(lambda: _rests(replica))
        assert replica.link.up
        assert [level for level, _ in replica.said].count("warning") == 1


async def test_a_bug_is_told_and_the_next_try_agrees_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with World(server, 1) as world:
        (replica,) = world.replicas
        await asyncio.sleep(0.3)

        def fails(message: bytes) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(replica.link._pins, "hear", fails)
        redis = client(server.url, None)
        await redis.publish(PINNED, b"news")
        await redis.aclose()
        await world.until(lambda: replica.link.losses == 1)
        assert ("error", BROKEN) in replica.said
        await world.until(lambda: replica.link.up)


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.e30.c", "a.W10.c", "a.\u00e4.c"])
def test_a_token_that_names_nobody_is_a_lost_connection(token: str) -> None:
    with pytest.raises(ConnectionError):
        object_id(token)


def _rests(replica: Replica) -> bool:
    attempt = replica.pool.begin(time.monotonic(), "chat", set(), "r")
    return attempt is not None and attempt.backend.name == "b"


class Breaking:
    """A Redis whose connection breaks as soon as somebody stops waiting for it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def pipeline(self, *, transaction: bool) -> "Breaking":
        return self

    def pubsub(self, **_: object) -> "Breaking":
        return self

    async def __aenter__(self) -> "Breaking":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def subscribe(self, *_: str) -> None: ...

    def eval(self, *_: object) -> None: ...

    async def get_message(self, timeout: float) -> None:
        await self.execute()

    async def execute(self) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("cut while it was left") from None

    async def aclose(self) -> None: ...


class Forgetting(Breaking):
    """A Redis whose client ends what it does, as if nothing had been said, when it is cancelled."""

    def ping(self) -> None: ...

    async def execute(self) -> list[Any]:
        self.asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return [[9, 1, 9, 0]]


@pytest.mark.parametrize("breaking", [Breaking(), Forgetting()], ids=["breaks", "forgets"])
async def test_a_link_whose_client_spoils_the_cancellation_stops(breaking: Breaking) -> None:
    quota = Quota([Tenant("ada", Limits(tokens_per_minute=9))], lambda now: now + 1_700_000_000)
    pool, pins = Pool(BACKENDS, lambda fact: None), Pins(bytearray(size_of(1000)))
    link = Link(lambda: breaking, quota, pool, pins, time.monotonic, lambda *_, **__: None)  # type: ignore[arg-type]
    running = asyncio.create_task(link.run())
    await breaking.asked.wait()
    running.cancel()
    await asyncio.wait([running], timeout=30)
    assert running.done()
