"""All throttled: requests wait for the soonest return, in turn, and not for ever."""

import asyncio
from collections.abc import Sequence

import pytest
from fakes import FakeClient, Story, failure, late, ok, request, status, throttled
from virtual import in_virtual_time

from lb.balancing.asker import Asker
from lb.events import Exhausted, Finished, Outcome
from lb.exchange import Blame

ADA, BOB, VIP = Asker("ada"), Asker("bob"), Asker("vip", priority=0)


class Hall(Story):
    """A gateway with a waiting room, in the loop's time."""

    def __init__(self, scripts: dict[str, Sequence[object]], seconds: float = 20.0, most: int = 1000) -> None:
        super().__init__(scripts, clock=asyncio.get_running_loop().time)
        self.room = self.failover.permits.room
        self.room.seconds, self.room.most = seconds, most
        self.order: list[str] = []

    async def come(self, asker: Asker, name: str = "") -> FakeClient:
        client = await self.ask(request(asker=asker, id=name or asker.name))
        if client.status == 200:
            self.order.append(name or asker.name)
        return client

    def send(self, asker: Asker, count: int = 1) -> "list[asyncio.Task[FakeClient]]":
        return [asyncio.create_task(self.come(asker)) for _ in range(count)]

    def empty(self) -> None:
        """Nobody waits, nothing was left behind."""
        assert len(self.room) == 0
        assert self.room._alarm is None
        self.at_rest()


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_a_request_waits_for_the_soonest_return_and_is_served() -> None:
    hall = Hall({"a": [throttled(9), ok()], "b": [throttled(5), ok()]})
    began = now()
    client = await hall.come(ADA)
    assert client.status == 200
    assert now() - began == pytest.approx(5, abs=0.01)
    assert hall.asked == ["a", "b", "b"]
    assert hall.waits == []
    hall.empty()


@in_virtual_time
async def test_it_tells_how_many_wait_for_whom() -> None:
    hall = Hall({"a": [throttled(9), ok(), ok(), ok(), ok()]})
    going = [*hall.send(ADA, 3), *hall.send(BOB)]
    await asyncio.sleep(1)
    assert hall.room.counts() == {"ada": 3, "bob": 1}
    await asyncio.gather(*going)
    assert hall.room.counts() == {}
    hall.empty()


@in_virtual_time
async def test_it_is_off_unless_it_is_asked_for() -> None:
    hall = Hall({"a": [throttled(5), ok()]}, seconds=0)
    assert (await hall.come(ADA)).status == 429
    hall.empty()


@in_virtual_time
async def test_who_would_wait_too_long_is_told_so_at_once() -> None:
    hall = Hall({"a": [throttled(21), ok()]})
    began = now()
    client = await hall.come(ADA)
    assert (client.status, client.headers[b"retry-after"], now() - began) == (429, b"21", 0)
    assert hall.finished.outcome is Outcome.EXHAUSTED
    hall.empty()


@in_virtual_time
async def test_the_whole_wait_of_a_request_is_bounded_however_often_it_is_throttled() -> None:
    hall = Hall({"a": [throttled(8)]})
    began = now()
    client = await hall.come(ADA)
    assert (client.status, now() - began) == (429, pytest.approx(16, abs=0.1))
    assert hall.asked == ["a", "a", "a"]
    assert len(hall.told(Exhausted)) == 1
    hall.empty()


@in_virtual_time
async def test_tenants_take_turns_and_a_better_class_goes_first() -> None:
    hall = Hall({"a": [throttled(5), late(0.1, ok())]}, seconds=60)
    first = asyncio.create_task(hall.come(ADA, "first"))
    await asyncio.sleep(0.1)
    tasks = [*hall.send(ADA, 30), *hall.send(BOB, 5), *hall.send(VIP, 2)]
    await asyncio.sleep(0.1)
    assert len(hall.room) == 38
    clients = await asyncio.gather(first, *tasks)
    assert {client.status for client in clients} == {200}
    assert hall.order[:2] == ["vip", "vip"]  # two are let through until one has succeeded
    hall.empty()


@in_virtual_time
async def test_a_crowd_goes_in_fair_order_when_capacity_comes_back_in_drops() -> None:
    """Each return serves two, and throttles whoever comes after them."""
    served = [now()] * 2

    def capacity() -> object:
        if now() < served[-2] + 1:
            return throttled(1)()
        served.append(now())
        return ok()()

    hall = Hall({"a": [capacity]}, seconds=100)
    first = asyncio.create_task(hall.come(ADA, "first"))
    await asyncio.sleep(0.1)
    await asyncio.gather(first, *hall.send(ADA, 20), *hall.send(BOB, 4))
    assert {fact.status for fact in hall.told(Finished)} == {200}
    assert hall.order[:10].count("bob") == 4
    assert now() - served[0] <= 14
    hall.empty()


@in_virtual_time
async def test_who_comes_while_others_wait_does_not_pass_them_by() -> None:
    hall = Hall({"a": [throttled(5), late(1, ok())]}, seconds=60)
    early = asyncio.create_task(hall.come(ADA, "early"))
    await asyncio.sleep(4)
    tasks = [asyncio.create_task(hall.come(ADA, f"{number}")) for number in range(4)]
    await asyncio.gather(early, *tasks)
    assert hall.order == ["early", "0", "1", "2", "3"]
    hall.empty()


@in_virtual_time
async def test_a_client_that_leaves_is_forgotten() -> None:
    hall = Hall({"a": [throttled(5), ok()]})
    left, stays = hall.send(ADA, 2)
    await asyncio.sleep(1)
    assert len(hall.room) == 2
    left.cancel()
    assert (await asyncio.gather(left, stays, return_exceptions=True))[1].status == 200  # type: ignore[union-attr]
    outcomes = [fact.outcome for fact in hall.told(Finished)]
    assert outcomes == [Outcome.ABANDONED, Outcome.RELAYED]
    hall.empty()


@pytest.mark.interpreted
@in_virtual_time
async def test_a_permit_for_a_client_that_leaves_in_that_moment_goes_to_the_next() -> None:
    hall = Hall({"a": [throttled(5), ok()]})
    tasks = hall.send(ADA, 4)
    await asyncio.sleep(1)
    look, called = hall.room.look, []

    def look_and_leave() -> None:
        look()
        if not called and hall.room._clock() > 1004:
            called.append(True)
            for task in tasks[:2]:
                task.cancel()

    hall.room.look = look_and_leave  # type: ignore[method-assign]
    hall.room._set_alarm(now())
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [client.status for client in ended if isinstance(client, FakeClient)] == [200, 200]
    assert called
    hall.empty()


@in_virtual_time
async def test_beyond_the_bound_the_right_429_is_told_and_who_has_most_waiting_pays() -> None:
    hall = Hall({"a": [throttled(5), ok()]}, most=3)
    adas = hall.send(ADA, 3)
    await asyncio.sleep(1)
    (bob,) = hall.send(BOB)
    await asyncio.sleep(1)
    (fourth,) = hall.send(ADA)
    clients = await asyncio.gather(*adas, bob, fourth)
    assert [client.status for client in clients] == [200, 200, 429, 200, 429]
    assert clients[2].headers[b"retry-after-ms"] == b"4000"
    assert clients[4].headers[b"retry-after"] == b"3"
    hall.empty()


@in_virtual_time
async def test_who_is_pinned_to_a_backend_that_is_away_does_not_hold_up_the_others() -> None:
    hall = Hall({"a": [throttled(15), ok()], "b": [throttled(3), ok()]})
    pinned = Asker("pin", priority=0, strangers=frozenset({"b"}), pinned=True)
    began = now()
    waits = {}

    async def come(asker: Asker) -> None:
        assert (await hall.come(asker)).status == 200
        waits[asker.name] = round(now() - began)

    await asyncio.gather(come(pinned), come(ADA))
    assert waits == {"ada": 3, "pin": 15}
    hall.empty()


@in_virtual_time
async def test_what_had_a_fault_is_not_asked_again_after_the_wait() -> None:
    hall = Hall({"a": [failure(Blame.CONNECT)], "b": [throttled(3), ok()]})
    assert (await hall.come(ADA)).status == 200
    assert hall.asked == ["a", "b", "b"]
    hall.empty()


@in_virtual_time
async def test_where_nobody_is_throttled_nobody_waits() -> None:
    hall = Hall({"a": [status(500)], "b": [failure(Blame.LOST)]})
    began = now()
    assert (await hall.come(ADA)).status == 500
    assert now() == began
    hall.empty()


@in_virtual_time
async def test_one_deployments_crowd_does_not_hold_up_another() -> None:
    hall = Hall({"a": [throttled(5), ok()]})
    (waits,) = hall.send(ADA)
    await asyncio.sleep(1)
    began = now()
    client = await hall.ask(request(b"/openai/deployments/emb/embeddings", asker=BOB, id="emb"))
    assert (client.status, now() - began) == (200, 0)
    await waits
    hall.empty()
