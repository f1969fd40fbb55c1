"""One limit of one tenant, what a request takes from it, and how it stands."""

from dataclasses import dataclass, field
from typing import NamedTuple

from lb.metering.lease import RETRY_SECONDS, Lease
from lb.metering.meter import Meter


class Estimate(NamedTuple):
    """Tokens that a request may take, as far as can be told before it runs."""

    prompt: int = 0
    answer: int = 0


@dataclass(slots=True)
class Budget:
    """One limit of one tenant."""

    limit: int
    name: str
    """As the configuration calls it, e.g. `tokens_per_minute`."""
    deployment: str | None
    """None where it holds for all deployments together."""
    meter: Meter
    lease: Lease | None = None
    """What of it may be used here, where several replicas share it."""
    owner: str = ""
    """The tenant's name."""
    counts_tokens: bool = field(init=False)
    concurrent: bool = field(init=False)
    """It counts what runs."""

    def __post_init__(self) -> None:
        self.counts_tokens = self.name.startswith("tokens")
        self.concurrent = self.name == "max_concurrent"

    def key(self, now: float) -> str:
        """The same in all replicas; another one in each day or month."""
        return f"{self.owner}:{self.deployment or ''}:{self.name}:{self.meter.period(now)}"

    def amount(self, estimate: Estimate) -> int:
        """What a request takes from it. An answer may be allowed to be longer than the whole budget, and rarely is: it
        takes all there is, and the rest when it is needed."""
        if not self.counts_tokens:
            return 1
        prompt, answer = estimate
        return min(prompt + answer, max(self.limit, prompt))

    def allowed(self, now: float) -> int:
        """How much of it may be used here."""
        return self.limit if self.lease is None else self.lease.allowed(now)


Hold = tuple[Budget, int, int]
"""What a ticket took from a budget: the mark of its meter, and the amount."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget stands."""

    name: str
    deployment: str | None
    limit: int
    used: int
    reset: float
    """Seconds until all that is used now is forgotten."""

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class Refused:
    """No reservation: the budget is used up for so many seconds; None where it is too small for such a request."""

    seconds: float | None
    limit: Standing


def standing(now: float, budget: Budget) -> Standing:
    """As far as this replica knows by itself."""
    used = budget.meter.used(now)
    return Standing(budget.name, budget.deployment, budget.limit, used, budget.meter.wait(now, used) if used else 0.0)


def shared_standing(now: float, budget: Budget) -> Standing:
    """With what other replicas have used, as last told."""
    own, lease = standing(now, budget), budget.lease
    if lease is None or not lease.is_fresh(now) or own.used >= lease.limit - lease.free:
        return own
    return Standing(own.name, own.deployment, own.limit, lease.limit - lease.free, own.reset or budget.meter.keep(now))


def short(now: float, budget: Budget, estimate: Estimate) -> Refused | None:
    """The refusal, where the budget does not suffice."""
    amount, used = budget.amount(estimate), budget.meter.used(now)
    if budget.lease is not None:
        return _short_here(now, budget, budget.lease, amount, used)
    excess = used + amount - budget.limit
    if excess <= 0:
        return None
    never = amount > budget.limit
    return Refused(None if never else budget.meter.wait(now, excess), standing(now, budget))


def _short_here(now: float, budget: Budget, lease: Lease, amount: int, used: int) -> Refused | None:
    """The refusal, where this replica's part of the budget does not suffice."""
    excess = used + amount - lease.allowed(now)
    lease.ask(amount, lacked=excess > 0)
    if excess <= 0:
        return None
    if amount > budget.limit:
        return Refused(None, standing(now, budget))
    elsewhere = lease.is_fresh(now) and amount <= lease.free
    wait = RETRY_SECONDS if elsewhere else budget.meter.wait(now, min(excess, used))
    return Refused(max(wait, RETRY_SECONDS), standing(now, budget))
