"""Anything may happen to the health table in any order; what the contract promises holds all the time."""

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lb.balancing.attempt import Attempt
from lb.balancing.backend import Backend
from lb.balancing.health import TRIALS, Health
from lb.balancing.policy import POLICIES
from lb.balancing.pool import Pool
from lb.balancing.transitions import Cooled, Ejected, Recalled, Restored, Switched, Transition
from lb.balancing.verdict import RELAY, RELAY_ERROR, Faulted, Misconfigured, Throttled, Verdict

NAMES = ["a", "b", "c", "d"]
DEPLOYMENTS = st.sampled_from(["chat", "fast", "embedding", None])
ALIASES = {"chat": "gpt", "fast": "gpt", "embedding": "emb"}
WAITS = st.sampled_from([0.1, 1.0, 7.0, 30.0, 120.0])
VERDICTS = st.one_of(
    st.sampled_from([RELAY, RELAY, RELAY_ERROR, Faulted("500"), Faulted("500"), Faulted("s", silent=True)]),
    st.sampled_from([Faulted("refused", whole=True), Misconfigured("401")]),
    WAITS.map(lambda seconds: Throttled(seconds, "429", seconds)),
    st.just(Throttled(120.0, "429", 86400.0)),
)


class Going:
    """A request on its way: what it has tried, and its running attempt."""

    def __init__(self, deployment: str | None) -> None:
        self.deployment = deployment
        self.tried: list[str] = []
        self.failed: list[Attempt] = []
        self.attempt: Attempt | None = None


class HealthTable(RuleBasedStateMachine):
    """Requests come, try, fail over, end or vanish, while time passes and the configuration changes."""

    @initialize(
        priorities=st.lists(st.integers(1, 2), min_size=2, max_size=4),
        policy=st.sampled_from(sorted(POLICIES)),
        aliases=st.booleans(),
    )
    def start(self, priorities: list[int], policy: str, aliases: bool) -> None:
        self.now = 1000.0
        self.told: list[Transition] = []
        self.aliases = ALIASES if aliases else None
        self.policy = POLICIES[policy]
        self.names = NAMES[: len(priorities)]
        rng = random.Random(1)  # noqa: S311
        self.pool = Pool(self.configured(priorities), self.told.append, policy=self.policy, rng=rng)
        self.going: list[Going] = []
        self.running: list[Attempt] = []
        self.cooling: dict[Any, float] = {}

    def configured(self, priorities: list[int]) -> list[Backend]:
        return [
            Backend(name, f"https://{name}", priority=priority, weight=1 + number % 3, deployments=self.aliases)
            for number, (name, priority) in enumerate(zip(self.names, priorities, strict=True))
        ]

    def cells(self, deployment: str | None) -> list[Health]:
        return self.pool._table.lane(deployment)

    @rule(deployment=DEPLOYMENTS)
    def a_request_comes(self, deployment: str | None) -> None:
        going = Going(deployment)
        self.going.append(going)
        self.next_attempt(going)

    @rule(deployment=DEPLOYMENTS, count=st.integers(3, 6))
    def many_come_at_once(self, deployment: str | None, count: int) -> None:
        for _ in range(count):
            self.a_request_comes(deployment)

    @precondition(lambda self: self.going)
    @rule(seconds=WAITS)
    def all_that_run_are_throttled_and_that_time_passes(self, seconds: float) -> None:
        for going in list(self.going):
            assert going.attempt is not None
            self.learn(going.attempt, Throttled(seconds, "429", seconds), [])
            self.pool.release(going.attempt)
            self.running.remove(going.attempt)
        self.going.clear()
        self.now += seconds

    def next_attempt(self, going: Going) -> None:
        open_before = {id(cell) for cell in self.cells(going.deployment) if cell.admits(self.now)}
        trials = {id(cell): cell.trials for cell in self.cells(going.deployment)}
        probing = {id(cell): cell.breaker.probing or cell.site.breaker.probing for cell in self.cells(going.deployment)}
        attempt = self.pool.begin(self.now, going.deployment, set(going.tried), "r")
        eligible = [cell for cell in self.cells(going.deployment) if cell.backend.name not in going.tried]
        if attempt is None:
            assert not any(id(cell) in open_before for cell in eligible), "somebody was available and was not asked"
            self.going.remove(going)
            return
        chosen = attempt.health
        assert attempt.backend.name not in going.tried, "the same backend twice"
        assert self.cooling.get(chosen, 0.0) <= self.now, "a cooling backend was picked"
        better = [cell for cell in eligible if id(cell) in open_before]
        if better:
            assert id(chosen) in open_before, "a risk was taken although somebody was available"
            assert attempt.backend.priority == min(cell.backend.priority for cell in better)
            assert not probing[id(chosen)] or not chosen.ejected_until(), "two probes at once"
        if chosen.returning:
            assert trials[id(chosen)] < TRIALS, "a herd"
        going.tried.append(attempt.backend.name)
        going.attempt = attempt
        self.running.append(attempt)

    @precondition(lambda self: self.going)
    @rule(data=st.data(), verdict=VERDICTS)
    def an_attempt_is_judged(self, data: st.DataObject, verdict: Verdict) -> None:
        going = data.draw(st.sampled_from(self.going))
        attempt = going.attempt
        assert attempt is not None
        self.learn(attempt, verdict, going.failed)
        if isinstance(verdict, type(RELAY)):
            self.going.remove(going)  # its body is still running
            return
        self.pool.release(attempt)
        self.running.remove(attempt)
        if isinstance(verdict, Faulted) and not verdict.whole:
            going.failed.append(attempt)
        self.next_attempt(going)

    def learn(self, attempt: Attempt, verdict: Verdict, failed: list[Attempt]) -> None:
        cell, before = attempt.health, attempt.health.cooling_until
        self.pool.learn(self.now, attempt, verdict, failed)
        assert cell.cooling_until >= before, "a cooldown was cut short"
        if isinstance(verdict, Throttled):
            assert cell.cooling_until >= self.now + min(verdict.seconds, 10.0)
            self.cooling[cell] = max(self.cooling.get(cell, 0.0), self.now + min(verdict.seconds, 10.0))
        elif before <= self.now:
            assert cell.cooling_until <= self.now, "only throttling cools"

    @precondition(lambda self: self.running)
    @rule(data=st.data(), twice=st.booleans())
    def a_body_ends_or_a_client_leaves(self, data: st.DataObject, twice: bool) -> None:
        attempt = data.draw(st.sampled_from(self.running))
        before = attempt.health.in_flight
        for _ in range(1 + twice):
            self.pool.release(attempt)
        assert attempt.health.in_flight == before - 1
        self.running.remove(attempt)
        self.going = [going for going in self.going if going.attempt is not attempt]

    @rule(seconds=st.sampled_from([0.0, 0.05, 1.0, 5.0, 10.0, 20.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_ticker_ticks(self) -> None:
        self.pool.expire(self.now)
        assert not any(cell.cooling for cell in self.pool._table.cells if cell.cooling_until <= self.now)

    @rule(data=st.data())
    def the_configuration_is_reloaded(self, data: st.DataObject) -> None:
        count = len(self.names)
        self.pool.replace(
            self.configured(data.draw(st.lists(st.integers(1, 2), min_size=count, max_size=count))), self.policy
        )

    @rule(name=st.sampled_from(NAMES), out=st.booleans())
    def an_operator_switches(self, name: str, out: bool) -> None:
        self.pool.switch(self.now, name, "ada", out=out)
        for deployment in ("chat", None):
            attempt = self.pool.begin(self.now, deployment, set(), "r")
            if attempt is not None:
                assert not attempt.health.site.out
                self.pool.release(attempt)

    @rule(name=st.sampled_from(NAMES), deployment=DEPLOYMENTS)
    def an_operator_ends_an_absence(self, name: str, deployment: str | None) -> None:
        if self.pool.recall(self.now, name, deployment, "ada"):
            (cell,) = [c for c in self.pool._table.cells if (c.backend.name, c.deployment) == (name, deployment)]
            assert cell.back_at() <= self.now
            self.cooling.pop(cell, None)

    @rule(deployment=DEPLOYMENTS)
    def soonest_never_lies(self, deployment: str | None) -> None:
        wait = self.pool.soonest(self.now, deployment)
        if wait is None:
            assert not any(self.cooling.get(cell, 0.0) > self.now for cell in self.cells(deployment))
            return
        assert wait > 0
        assert wait <= 120.0 + 1e-9
        then = self.now + wait
        possible = [cell for cell in self.cells(deployment) if then >= cell.cooling_until]
        assert possible, "nobody is back after the wait that was told"
        # How a probe that still runs then will have ended, nobody knows now.
        told = self.pool.reachable(then, deployment, set()) or any(cell.is_probed(then) for cell in possible)
        assert told, "nobody takes a request after the wait that was told"

    @invariant()
    def permits_add_up(self) -> None:
        if not hasattr(self, "pool"):
            return
        running: dict[int, int] = {}
        for attempt in self.running:
            running[id(attempt.health)] = running.get(id(attempt.health), 0) + 1
        for cell in self.pool._table.cells:
            assert cell.in_flight == running.get(id(cell), 0)
            assert 0 <= cell.trials <= TRIALS
            assert cell.breaker.strikes >= 0
            assert abs(cell.credit) <= 12

    @invariant()
    def only_transitions_are_told(self) -> None:
        if not hasattr(self, "pool"):
            return
        away: dict[tuple[str, str | None], type[Transition]] = {}
        for fact in self.told:
            if isinstance(fact, Switched | Recalled):
                continue
            key = fact.backend.name, None if isinstance(fact, Ejected | Restored) and fact.whole else fact.deployment
            if isinstance(fact, Cooled):
                # Of one that is ejected as well, the end of a cooldown is not told: it is not available.
                assert away.get(key) is not Cooled or self.was_ejected(fact), "a cooldown was told twice"
                assert fact.seconds > 0
            away[key] = type(fact)

    def was_ejected(self, cooled: Cooled) -> bool:
        return any(isinstance(fact, Ejected) and fact.backend.name == cooled.backend.name for fact in self.told)

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            for attempt in self.running:
                self.pool.release(attempt)
            assert {row.in_flight for row in self.pool.snapshot(self.now)} <= {0}
            assert not any(cell.trials or cell.breaker.probing for cell in self.pool._table.cells)


TestHealthTable = pytest.mark.timeout(300)(HealthTable.TestCase)  # ten seconds on a machine of its own
TestHealthTable.settings = settings(max_examples=250, stateful_step_count=70, deadline=None)
