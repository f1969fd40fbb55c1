"""What an operator says at the office reaches every worker, those to come included."""

import random

import pytest

from lb.balancing.backend import Backend
from lb.balancing.peers import Belief, Ejection
from lb.balancing.pool import Pool
from lb.balancing.verdict import RELAY, Faulted, Throttled
from lb.shared.orders import Orders
from lb.shared.room import Room, WorkerPeers

A, B = Backend("a", "https://a"), Backend("b", "https://b", priority=2)


class Family:
    """Two workers and an office."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.room = Room(2, 1)
        self.orders = Orders(self.room)
        self.workers = [self.worker(0), self.worker(1)]

    def worker(self, number: int) -> Pool:
        return Pool([A, B], lambda fact: None, rng=random.Random(1), peers=WorkerPeers(self.room, number))  # noqa: S311

    def picks(self, deployment: str = "chat") -> list[str | None]:
        found = []
        for pool in self.workers:
            attempt = pool.begin(self.now, deployment, set(), "r")
            found.append(attempt and attempt.backend.name)
            if attempt:
                pool.release(attempt)
        return found

    def meet(self, number: int, *verdicts: Throttled | Faulted) -> None:
        pool = self.workers[number]
        for verdict in verdicts:
            attempt = pool.begin(self.now, "chat", {"b"}, "r")
            assert attempt is not None
            pool.learn(self.now, attempt, verdict)
            pool.release(attempt)


@pytest.fixture
def family() -> Family:
    return Family()


def test_who_is_taken_out_gets_nothing_from_any_worker(family: Family) -> None:
    assert family.picks() == ["a", "a"]
    family.orders.switch(family.now, A, out=True)
    assert family.picks() == ["b", "b"]
    family.orders.switch(family.now + 1, A, out=False)
    assert family.picks() == ["a", "a"]


def test_a_backend_may_be_taken_out_before_anybody_asked_it(family: Family) -> None:
    family.orders.switch(family.now, A, out=True)
    for pool in family.workers:
        pool.hear(family.now)
        assert [(row.backend.name, row.out) for row in pool.snapshot(family.now)] == [("a", True), ("b", False)]
    assert family.picks() == ["b", "b"]


def test_a_worker_that_is_born_later_and_an_office_that_is_born_again_know_of_it(family: Family) -> None:
    family.orders.switch(family.now, A, out=True)
    family.workers[0] = family.worker(0)
    assert family.picks() == ["b", "b"]
    again = Orders(family.room)
    family.now += 1
    again.recall(family.now, A, "chat")
    assert family.picks() == ["b", "b"]
    again.switch(family.now, A, out=False)
    assert family.picks() == ["a", "a"]


def test_a_cooldown_that_one_worker_met_is_ended_for_all_and_a_shorter_one_after_it_holds(family: Family) -> None:
    family.meet(0, Throttled(60, "HTTP 429", 60))
    assert family.picks() == ["b", "b"]
    family.orders.recall(family.now, A, "chat")
    assert family.picks() == ["a", "a"]
    family.now += 1
    family.meet(1, Throttled(5, "HTTP 429", 5))
    assert family.picks() == ["b", "b"]
    assert [pool.soonest(family.now, "chat") for pool in family.workers] == [5, 5]
    family.workers[0] = family.worker(0)
    assert family.workers[0].soonest(family.now, "chat") is None  # it has not met the deployment
    assert family.picks() == ["b", "b"]


@pytest.mark.parametrize("whole", [False, True])
def test_an_ejection_is_ended_for_all_with_one_probe(family: Family, whole: bool) -> None:
    family.meet(0, *[Faulted("it fails", whole=whole)] * 3)
    assert family.picks() == ["b", "b"]
    family.now += 1
    family.orders.recall(family.now, A, "chat")
    one, two = family.workers
    probe = one.begin(family.now, "chat", set(), "r")
    assert probe is not None
    assert probe.backend is A
    assert two.begin(family.now, "chat", set(), "r").backend is B  # type: ignore[union-attr]
    one.learn(family.now, probe, RELAY)
    one.release(probe)
    two.hear(family.now)
    assert family.picks() == ["a", "a"]


BELIEFS = [
    Belief(cooling_until=1060.0, told=1000.0, reason="HTTP 429"),
    Belief(cooling_until=1010.0, recalled=1010.0),
    Belief(cooling_until=1016.0, recalled=1010.0, told=1011.0, reason="HTTP 429"),
    Belief(ejection=Ejection(1005.0, 1025.0, 20.0, 1005.0)),
    Belief(ejection=Ejection(1012.0, 1032.0, 20.0, 1012.0), switched=1003.0, out=True),
    Belief(switched=1004.0),
    Belief(recalled=1013.0, cooling_until=1013.0),
]


def test_a_join_does_not_mind_order_or_repetition() -> None:
    rng = random.Random(1)  # noqa: S311
    found = set()
    for _ in range(500):
        order = rng.choices(BELIEFS, k=3) + rng.sample(BELIEFS, len(BELIEFS)) + rng.choices(BELIEFS, k=2)
        cut = rng.randrange(1, len(order))
        left, right = order[0], order[cut]
        for belief in order[1:cut]:
            left = left.join(belief)
        for belief in order[cut + 1 :]:
            right = belief.join(right)
        found.add(left.join(right))
    assert found == {
        Belief(
            cooling_until=1013.0,
            ejection=Ejection(1012.0, 1012.0, 20.0, 1012.0),
            told=1011.0,
            reason="HTTP 429",
            recalled=1013.0,
            switched=1004.0,
        )
    }
