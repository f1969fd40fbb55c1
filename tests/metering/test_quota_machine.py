"""Whatever tenants do, in whatever order: budgets hold, and nobody pays for a neighbour."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lb.metering.budget import Estimate, Refused
from lb.metering.quota import Quota, Ticket
from lb.metering.tenant import Limits, Tenant
from lb.metering.usage import UNKNOWN, Usage

NAMES = ("ada", "bob", "eve")
DEPLOYMENTS = ("chat", "emb")
LIMITS = Limits(tokens_per_minute=100, requests_per_minute=5, max_concurrent=3)
OWN = Limits(tokens_per_minute=60, requests_per_minute=4)
TENANTS = [Tenant(name, LIMITS, {"chat": OWN}) for name in NAMES]
LATE = 60 / 240
"""A window forgets up to one slice late."""


@dataclass(eq=False)
class Known:
    """What the test knows of a request."""

    ticket: Ticket
    deployment: str
    at: float
    real: int | None = None
    """What it told that it had cost."""
    ended_at: float = 0.0
    counts: bool = True

    def reserved(self, deployment: str | None) -> int:
        """From the tokens of this budget."""
        holds = [(budget, amount) for budget, _, amount in self.ticket.holds if budget.counts_tokens]
        return next(amount for budget, amount in holds if budget.deployment == deployment)

    def charged(self, deployment: str | None) -> int:
        return self.reserved(deployment) if self.real is None else self.real

    def beyond(self, deployment: str | None) -> int:
        """What it took more than it had reserved."""
        return max(0, self.charged(deployment) - self.reserved(deployment))


class Machine(RuleBasedStateMachine):
    """Tenants ask and end requests while time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.quota = Quota(TENANTS)
        self.known: dict[str, list[Known]] = {name: [] for name in NAMES}

    @rule(
        tenant=st.sampled_from(NAMES),
        deployment=st.sampled_from(DEPLOYMENTS),
        prompt=st.integers(0, 70),
        answer=st.integers(0, 70),
    )
    def ask(self, tenant: str, deployment: str, prompt: int, answer: int) -> None:
        estimate = Estimate(prompt, answer)
        found = self.quota.reserve(self.now, tenant, deployment, estimate)
        if isinstance(found, Refused):
            self._refused(tenant, deployment, estimate, found)
        else:
            self.known[tenant].append(Known(found, deployment, self.now))

    def _refused(self, tenant: str, deployment: str, estimate: Estimate, found: Refused) -> None:
        """It was by the tenant's own use, and ends when it said it would."""
        standing = found.limit
        amount = 1
        if standing.name.startswith("tokens"):
            amount = min(sum(estimate), max(standing.limit, estimate.prompt))
        assert self._most(tenant, standing.name, standing.deployment) + amount > standing.limit
        if found.seconds is None:
            assert estimate.prompt > standing.limit
        elif standing.name != "max_concurrent":
            again = self.quota.reserve(self.now + found.seconds, tenant, deployment, estimate)
            self.now += found.seconds
            if isinstance(again, Refused):
                assert again.limit.name == "max_concurrent"
            else:
                self.quota.cancel(self.now, again)

    @precondition(lambda self: any(known.ticket.open for each in self.known.values() for known in each))
    @rule(data=st.data(), real=st.integers(0, 150), way=st.sampled_from(["usage", "none", "unknown", "cancel"]))
    def end(self, data: st.DataObject, real: int, way: str) -> None:
        running = [known for each in self.known.values() for known in each if known.ticket.open]
        known = data.draw(st.sampled_from(running))
        known.ended_at = self.now
        if way == "cancel":
            self.quota.cancel(self.now, known.ticket)
            known.real, known.counts = 0, False
        elif way == "usage":
            self.quota.settle(self.now, known.ticket, Usage(prompt=real, total=real))
            known.real = real
        else:
            self.quota.settle(self.now, known.ticket, UNKNOWN if way == "unknown" else None)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.25, 1.0, 7.3, 29.9, 60.0, 61.0, 500.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def reload(self) -> None:
        assert self.quota.replace(TENANTS) == []

    @invariant()
    def no_budget_is_exceeded_but_by_what_ran_beyond_its_reservation(self) -> None:
        for tenant in NAMES:
            for deployment, limits in ((None, LIMITS), ("chat", OWN)):
                mine = self._of(tenant, deployment)
                recent = [known for known in mine if self.now - known.at < 60]
                late = [known for known in mine if self.now - known.ended_at < 60 + LATE]
                beyond = sum(known.beyond(deployment) for known in {*recent, *late})
                used = sum(known.charged(deployment) for known in recent)
                assert used <= (limits.tokens_per_minute or 0) + beyond
                assert len([known for known in recent if known.counts]) <= (limits.requests_per_minute or 0)
            assert sum(known.ticket.open for known in self.known[tenant]) <= (LIMITS.max_concurrent or 0)

    @invariant()
    def what_is_told_is_never_negative_and_never_above_the_limit_when_all_is_quiet(self) -> None:
        for tenant in NAMES:
            for standing in self.quota.standings(self.now, tenant):
                assert standing.used >= 0
                assert 0 <= standing.remaining <= standing.limit
                assert standing.reset >= 0

    def _of(self, tenant: str, deployment: str | None) -> list[Known]:
        return [known for known in self.known[tenant] if deployment in (None, known.deployment)]

    def _most(self, tenant: str, name: str, deployment: str | None) -> int:
        """The most that this tenant's own requests can count for now."""
        mine = self._of(tenant, deployment)
        if name == "max_concurrent":
            return sum(known.ticket.open for known in mine)
        recent = [known for known in mine if self.now - max(known.at, known.ended_at) < 60 + LATE]
        if name == "requests_per_minute":
            return sum(known.counts for known in recent)
        return sum(known.charged(deployment) for known in recent)


TestQuota = Machine.TestCase
TestQuota.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
