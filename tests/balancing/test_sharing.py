"""Several workers, one health table: real shared memory, a clock that is moved by hand."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from table import FAULT, REFUSED, SILENCE, Bench, asks

from lb.balancing.attempt import Attempt
from lb.balancing.backend import Backend
from lb.balancing.health import TRIALS
from lb.balancing.policy import least_loaded
from lb.balancing.pool import TRIAL_HINT, Pool
from lb.balancing.transitions import Cooled, Ejected
from lb.balancing.verdict import RELAY, RELAY_ERROR, Faulted, Misconfigured, Throttled
from lb.shared.orders import Orders
from lb.shared.room import Room, WorkerPeers

MISCONFIGURED = Misconfigured("HTTP 401")


class Family:
    """Workers with a table each and one clock. `one` and `two` are the first of them."""

    def __init__(self, names: str = "a b", workers: int = 2) -> None:
        self.room = Room(workers, 1)
        self.names = names
        self.workers = [self.worker(number) for number in range(workers)]
        self.one, self.two = self.workers[:2]

    def worker(self, number: int, now: float = 1000.0) -> Bench:
        bench = Bench(self.names)
        bench.now = now
        bench.pool = Pool(bench.pool.backends, bench.told.append, peers=WorkerPeers(self.room, number))
        return bench

    def wait(self, seconds: float) -> None:
        for worker in self.workers:
            worker.now += seconds
            worker.pool.tick(worker.now)


@pytest.fixture
def family() -> Family:
    return Family()


def test_who_was_throttled_in_one_worker_is_left_alone_by_all(family: Family) -> None:
    assert family.two.pick() == "a"
    family.one.meet("a", asks(7))
    assert family.one.pick() == family.two.pick() == "b"
    assert family.two.pool.soonest(family.two.now, "chat") == 7
    assert family.two.pick("embedding") == "a"


def test_a_worker_that_never_met_the_deployment_knows_of_its_cooldown(family: Family) -> None:
    family.one.meet("a", asks(7))
    assert family.two.pick() == "b"
    assert family.two.health("a").reason == "HTTP 429"


def test_only_who_learned_it_tells(family: Family) -> None:
    stray = family.two.take("a")
    family.one.meet("a", asks(7))
    family.two.end(stray, asks(7))
    family.wait(7.1)
    assert family.one.facts() == [("Cooled", "a", 7), ("Restored", "a", 0)]
    assert family.two.facts() == []


def test_a_later_end_from_another_worker_extends_and_an_earlier_one_does_not_shorten(family: Family) -> None:
    strays = [family.two.take("a"), family.two.take("a")]
    family.one.meet("a", asks(7))
    family.two.end(strays[0], asks(20))
    assert family.one.pick() == "b"
    assert family.one.pool.soonest(1000, "chat") == 20
    family.two.end(strays[1], asks(1))
    family.wait(19.9)
    assert family.one.pick() == family.two.pick() == "b"
    family.wait(0.2)
    assert family.one.pick() == "a"
    assert family.one.facts() == [("Cooled", "a", 7), ("Restored", "a", 0)]


def test_many_refusals_at_once_are_told_once_and_their_last_end_with_the_next_tick(family: Family) -> None:
    strays = [family.one.take("a") for _ in range(50)]
    version = family.room.board.words[0]
    for stray in strays:
        family.one.end(stray, asks(7))
        family.one.now += 0.0005
    assert family.room.board.words[0] == version + 1
    end = family.one.health("a").cooling_until
    family.wait(0)
    family.two.pick()
    assert family.two.health("a").cooling_until == end


def test_two_may_try_who_returns_in_all_workers_together() -> None:
    family = Family(workers=3)
    family.one.meet("a", asks(7))
    family.wait(7.1)
    trials = [family.workers[0].begin(), family.workers[1].begin()]
    assert [trial.backend.name for trial in trials if trial] == ["a", "a"]
    assert [worker.pick() for worker in family.workers] == ["b", "b", "b"]
    third = family.workers[2]
    assert third.pool.awaits_trial(third.now, "chat", set())
    assert third.pool.soonest(third.now, "chat") == TRIAL_HINT
    assert trials[0] is not None
    family.workers[0].end(trials[0], RELAY)
    for worker in family.workers:
        assert [worker.begin() for _ in range(5)]
        assert worker.pick() == "a"


def test_a_trial_that_is_throttled_again_closes_it_for_all(family: Family) -> None:
    family.one.meet("a", asks(7))
    family.wait(7.1)
    family.one.meet("a", asks(3))
    assert family.two.pick() == "b"
    family.wait(3.1)
    assert family.two.pick() == "a"


def test_the_right_to_a_trial_that_was_given_up_goes_to_whoever_asks_next(family: Family) -> None:
    family.one.meet("a", asks(7))
    family.wait(7.1)
    trials = [family.one.take("a"), family.one.take("a")]
    assert family.two.pick() == "b"
    family.one.pool.release(trials[0])
    family.two.pool.hear(family.two.now)
    assert family.two.pick() == "a"


@pytest.mark.interpreted
def test_what_was_learned_while_the_right_was_being_taken_is_heeded(family: Family) -> None:
    """The other's trial is refused just before this worker takes the place that it frees."""
    family.one.meet("a", asks(7))
    family.wait(7.1)
    trials = [family.one.take("a"), family.one.take("a")]
    peers = family.two.pool._sharing._peers  # type: ignore[union-attr]
    claim = peers.claim

    def late(key: bytes, right: object) -> bool:
        for trial in trials:
            family.one.end(trial, asks(9))
        trials.clear()
        return claim(key, right)  # type: ignore[arg-type]

    peers.claim = late  # type: ignore[method-assign]
    assert family.two.pick() == "b"
    assert family.two.health("a").trials == 0


@pytest.mark.parametrize("fault", [FAULT, SILENCE, REFUSED])
def test_who_was_ejected_by_one_worker_is_ejected_for_all(family: Family, fault: Faulted) -> None:
    family.one.meet("a", fault, fault, fault)
    assert family.two.pick() == "b"
    assert family.two.pick("embedding") == ("b" if fault.whole else "a")
    assert family.two.facts() == []
    assert family.two.health("a").silent == fault.silent


def test_one_probe_runs_in_all_workers_and_its_success_lets_all_in(family: Family) -> None:
    family.one.meet("a", FAULT, FAULT, FAULT)
    family.wait(10.1)
    probe = family.two.take("a")
    assert family.one.pick() == family.two.pick() == "b"
    family.two.end(probe, RELAY)
    assert family.one.pick() == family.two.pick() == "a"
    assert family.one.facts() == [("Ejected", "a", 10)]
    assert family.two.facts() == [("Restored", "a", 0)]


def test_a_probe_that_fails_elsewhere_doubles_the_ejection_for_all(family: Family) -> None:
    family.one.meet("a", FAULT, FAULT, FAULT)
    family.wait(10.1)
    family.two.meet("a", FAULT)
    assert family.two.facts() == [("Ejected", "a", 20)]
    family.wait(10.1)
    assert family.one.pick() == "b"
    family.wait(10)
    assert family.one.pick() == "a"


def test_a_success_from_before_the_ejection_elsewhere_does_not_end_it(family: Family) -> None:
    early = family.two.take("a")
    family.wait(1)
    family.one.meet("a", FAULT, FAULT, FAULT)
    family.two.end(early, RELAY)
    assert family.one.pick() == family.two.pick() == "b"


def test_strikes_of_another_worker_are_not_pardoned(family: Family) -> None:
    """A request that draws faults everywhere takes back its own strike only."""
    family.two.meet("a", FAULT)
    poisoned = family.two.end(family.two.take("a"), FAULT)
    family.one.meet("a", FAULT, FAULT, FAULT)
    family.two.health("a").last_success = 2000.0
    family.two.end(family.two.take("b"), FAULT, poisoned)
    assert family.one.pick() == "b"


def test_when_only_ejections_stand_in_the_way_no_right_is_needed() -> None:
    family = Family("a")
    family.one.meet("a", FAULT, FAULT, FAULT)
    running = [worker.take("a") for worker in family.workers for _ in range(3)]
    family.wait(11)
    running += [worker.take("a") for worker in family.workers]
    assert len({id(attempt) for attempt in running}) == 8
    assert sum(attempt.probes_cell for attempt in running) == 1


def test_a_misconfigured_one_is_left_alone_by_all_until_a_probe_is_answered(family: Family) -> None:
    family.one.meet("a", MISCONFIGURED)
    assert family.two.pick() == "b"
    assert family.two.health("a").misconfigured
    family.wait(10.1)
    family.two.meet("a", MISCONFIGURED)
    assert family.two.facts() == []
    family.wait(20.1)
    family.one.meet("a", RELAY)
    assert family.two.pick() == "a"


def test_a_successor_knows_what_its_predecessor_and_the_others_knew(family: Family) -> None:
    family.one.meet("a", asks(30))
    family.two.meet("b", REFUSED, REFUSED, REFUSED)
    successor = family.worker(0)
    assert successor.pick() == "b"
    assert successor.health("a").cooling_until == 1030
    assert successor.health("b").ejected_until() == 1010
    family.workers[0] = successor
    family.wait(30.1)
    assert successor.health("a").returning
    successor.meet("a", RELAY)
    assert family.two.pick() == "a"
    assert not family.two.health("a").returning


def test_a_worker_knows_that_another_served_lately(family: Family) -> None:
    """The poison guard's question: is a long Retry-After about this request only?"""
    family.one.meet("a", RELAY)
    family.wait(0)
    family.two.meet("a", asks(90))
    assert family.one.pick() == "b"
    assert family.one.pool.soonest(1000, "chat") == 10


def test_another_address_under_the_same_name_is_another_backend(family: Family) -> None:
    family.one.meet("a", asks(30))
    moved = [Backend("a", "https://elsewhere", priority=1), Backend("b", "https://b", priority=2)]
    for worker in family.workers:
        worker.pool.replace(moved, least_loaded)
        assert worker.pick() == "a"


class Workers(RuleBasedStateMachine):
    """Anything may happen in any worker in any order."""

    @initialize(count=st.integers(2, 3))
    def start(self, count: int) -> None:
        self.family = Family("a b", count)
        self.running: list[tuple[Bench, Attempt]] = []
        self.orders = Orders(self.family.room)
        self.out: set[str] = set()

    @rule(number=st.integers(0, 2), deployment=st.sampled_from(["chat", "embedding"]))
    def a_request_comes(self, number: int, deployment: str) -> None:
        worker = self.family.workers[number % len(self.family.workers)]
        attempt = worker.begin(deployment)
        if attempt is not None:
            assert not any(
                other.health(attempt.backend.name, deployment).is_cooling(worker.now) for other in self.family.workers
            )
            assert attempt.backend.name not in self.out
            self.running.append((worker, attempt))

    @rule(
        place=st.integers(0, 100),
        verdict=st.sampled_from(
            [RELAY, RELAY, RELAY_ERROR, FAULT, SILENCE, REFUSED, MISCONFIGURED, asks(0.1), asks(7), asks(90)]
        ),
    )
    def one_ends(self, place: int, verdict: Throttled | Faulted | Misconfigured) -> None:
        if self.running:
            worker, attempt = self.running.pop(place % len(self.running))
            worker.end(attempt, verdict)

    @rule(place=st.integers(0, 100))
    def one_is_given_up(self, place: int) -> None:
        if self.running:
            worker, attempt = self.running.pop(place % len(self.running))
            worker.pool.release(attempt)

    @rule(seconds=st.sampled_from([0.01, 1.0, 7.0, 20.0, 120.0]))
    def time_passes(self, seconds: float) -> None:
        self.family.wait(seconds)

    @rule(name=st.sampled_from("ab"), out=st.booleans())
    def an_operator_switches(self, name: str, out: bool) -> None:
        now = self.family.workers[0].now
        self.orders.switch(now, Backend(name, f"https://{name}"), out=out)
        self.out = self.out | {name} if out else self.out - {name}
        self.family.wait(0.01)

    @rule(name=st.sampled_from("ab"), deployment=st.sampled_from(["chat", "embedding"]))
    def an_operator_ends_an_absence(self, name: str, deployment: str) -> None:
        self.family.wait(0.01)  # nobody decides in the very moment in which something is learned
        now = self.family.workers[0].now
        self.orders.recall(now, Backend(name, f"https://{name}"), deployment)
        self.family.wait(0.01)
        for worker in self.family.workers:
            assert worker.health(name, deployment).back_at() <= worker.now

    @rule(number=st.integers(0, 2))
    def a_worker_is_replaced(self, number: int) -> None:
        number %= len(self.family.workers)
        dead = self.family.workers[number]
        for worker, attempt in self.running:
            if worker is dead:
                worker.pool.release(attempt)  # as the kernel would
        self.running = [(worker, attempt) for worker, attempt in self.running if worker is not dead]
        self.family.workers[number] = self.family.worker(number, dead.now)

    @invariant()
    def as_many_as_may(self) -> None:
        trials: dict[bytes, int] = {}
        probes: dict[bytes, int] = {}
        for _, attempt in self.running:
            key = attempt.health.key
            trials[key] = trials.get(key, 0) + attempt.trial
            probes[key] = probes.get(key, 0) + attempt.probes_cell
        assert all(count <= TRIALS for count in trials.values())
        assert all(count <= 1 for count in probes.values())

    @invariant()
    def all_believe_the_same(self) -> None:
        self.family.wait(0)
        for worker in self.family.workers:
            worker.pool.hear(worker.now)
        for deployment in ("chat", "embedding"):
            for name in "ab":
                states = {
                    (
                        cell.cooling_until,
                        cell.returning,
                        cell.ejected_until(),
                        cell.misconfigured,
                        cell.breaker.seconds,
                        cell.site.breaker.seconds,
                        cell.site.out,
                    )
                    for cell in (worker.health(name, deployment) for worker in self.family.workers)
                }
                assert len(states) == 1, states

    @invariant()
    def nobody_tells_twice(self) -> None:
        for worker in self.family.workers:
            assert all(fact.seconds > 0 for fact in worker.told if isinstance(fact, Cooled | Ejected))


Workers.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWorkers = Workers.TestCase
