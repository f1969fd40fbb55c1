"""Budgets: an estimate is reserved at admission and settled with what it really was. Nothing is read and written later.

A reservation counts from the moment of admission, as Azure's own limits count. In any minute, what a tenant used is at
most its budget and what its running requests turn out to use beyond their reservations. Tenants share no number, so
none can be refused because of another.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from lb.metering.book import MAX_WORKERS, Book, LocalBook
from lb.metering.lease import RETRY_SECONDS, Grant, Lease, Report
from lb.metering.meter import Calendar, Meter, Running, Window
from lb.metering.tenant import Limits, Tenant
from lb.metering.usage import Usage


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

    def key(self, now: float) -> str:
        """The same in all replicas; another one in each day or month."""
        return f"{self.owner}:{self.deployment or ''}:{self.name}:{self.meter.period(now)}"

    counts_tokens: bool = field(init=False)

    def __post_init__(self) -> None:
        self.counts_tokens = self.name.startswith("tokens")

    def amount(self, estimate: Estimate) -> int:
        """What a request takes from it. An answer may be allowed to be longer than the whole budget, and rarely is: it
        takes all there is, and the rest when it is needed."""
        if not self.counts_tokens:
            return 1
        prompt, answer = estimate
        return min(prompt + answer, max(self.limit, prompt))


class Hold(NamedTuple):
    """What a ticket took from a budget."""

    budget: Budget
    mark: int
    amount: int


@dataclass(slots=True, eq=False)
class Ticket:
    """A reservation. Settle it or cancel it; whatever comes after the first does nothing."""

    quota: "Quota"
    tenant: str
    holds: tuple[Hold, ...]
    open: bool = True


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


class Quota:
    """All budgets. `wall` makes seconds since the epoch out of `now`, for days and months."""

    def __init__(
        self, tenants: Iterable[Tenant], wall: Callable[[float], float] = lambda now: now, book: Book | None = None
    ) -> None:
        self._wall = wall
        self._book = book or LocalBook()
        self._met: set[str] = set()
        self._replicas: int | None = None
        self._budgets: dict[str, dict[str | None, tuple[Budget, ...]]] = {}
        self.replace(tenants)

    def replace(self, tenants: Iterable[Tenant]) -> list[str]:
        """Swap the limits; what was used stays used. Returns the tenants for whose limits there is no room."""
        with self._book:
            found = {tenant.name: self._of(tenant) for tenant in tenants}
        leases = {(b.owner, b.deployment, b.name): b.lease for b in self._shared()}
        self._budgets = {name: budgets for name, budgets in found.items() if budgets is not None}
        for budget in self._shared() if self._replicas is not None else ():
            lease = leases.get((budget.owner, budget.deployment, budget.name))
            budget.lease = lease or Lease(budget.limit, self._replicas or 1)
            budget.lease.limit = budget.limit
        return [name for name, budgets in found.items() if budgets is None]

    def reserve(self, now: float, tenant: str, deployment: str | None, estimate: Estimate) -> Ticket | Refused:
        """Take the estimate from every budget that it concerns, or from none."""
        budgets = self._concerned(tenant, deployment)
        if not budgets:
            return Ticket(self, tenant, ())
        with self._book:
            refused = [found for budget in budgets if (found := _short(now, budget, estimate)) is not None]
            if refused:
                return max(refused, key=lambda found: float("inf") if found.seconds is None else found.seconds)
            holds = [(budget, budget.amount(estimate)) for budget in budgets]
            return Ticket(self, tenant, tuple([Hold(b, b.meter.add(now, amount), amount) for b, amount in holds]))

    def share(self, replicas: int = 1) -> None:
        """From now on budgets are shared with other replicas: `reports` are to be sent, and `grant` takes the answers.

        `max_concurrent` is not: what runs elsewhere is known too late.
        """
        self._replicas = replicas
        for budget in self._shared():
            budget.lease = budget.lease or Lease(budget.limit, replicas)

    def reports(self, now: float) -> list[Report]:
        """What to tell of each budget, much more often than `lease.STALE_SECONDS`."""
        told = []
        for budget in self._shared():
            if budget.lease is not None:
                used, keep = budget.meter.used(now), budget.meter.keep(now)
                told.append(budget.lease.report(now, budget.key(now), used, keep))
        return told

    def grant(self, now: float, grants: Mapping[str, Grant]) -> None:
        """The answers, by the keys of the reports."""
        for budget in self._shared():
            grant = grants.get(budget.key(now))
            if budget.lease is not None and grant is not None:
                budget.lease.take(now, grant)

    def _shared(self) -> list[Budget]:
        every = [budget for each in self._budgets.values() for budgets in each.values() for budget in budgets]
        return [budget for budget in every if budget.name != "max_concurrent"]

    def settle(self, now: float, ticket: Ticket, usage: Usage | None) -> None:
        """The request has ended and cost this much; None or an unknown usage: the reservation stands."""
        tokens = None if usage is None or usage.unknown else max(usage.total, usage.prompt + usage.completion)
        self._close(now, ticket, tokens, 1)

    def cancel(self, now: float, ticket: Ticket) -> None:
        """No backend took the request: it cost nothing and does not count."""
        self._close(now, ticket, 0, 0)

    def standings(self, now: float, tenant: str, deployment: str | None = None) -> list[Standing]:
        """How the budgets of a tenant stand that concern a deployment; without one, all of them."""
        everything = [budget for each in self._budgets.get(tenant, {}).values() for budget in each]
        with self._book:
            concerned = everything if deployment is None else self._concerned(tenant, deployment)
            return [_standing(now, budget) for budget in concerned]

    def _close(self, now: float, ticket: Ticket, tokens: int | None, requests: int) -> None:
        if not ticket.open:
            return
        ticket.open = False
        if not ticket.holds:
            return
        with self._book:
            for budget, mark, amount in ticket.holds:
                real = tokens if budget.counts_tokens else 0 if budget.name == "max_concurrent" else requests
                if real is not None:
                    budget.meter.settle(now, mark, amount, real)

    def _concerned(self, tenant: str, deployment: str | None) -> tuple[Budget, ...]:
        budgets = self._budgets.get(tenant)
        if budgets is None:
            return ()
        own = budgets.get(deployment.lower(), ()) if deployment is not None else ()
        return budgets[None] + own

    def _of(self, tenant: Tenant) -> dict[str | None, tuple[Budget, ...]] | None:
        found: dict[str | None, tuple[Budget, ...]] = {}
        for deployment, limits in ((None, tenant.limits), *tenant.deployment_limits.items()):
            made = self._make(tenant.name, deployment, limits)
            if made is None:
                return None
            found[deployment] = made
        return found

    def _make(self, tenant: str, deployment: str | None, limits: Limits) -> tuple[Budget, ...] | None:
        made = []
        for name in Limits.__dataclass_fields__:
            limit = getattr(limits, name)
            if limit is None:
                continue
            meter = self._meter(f"{tenant}\n{deployment or ''}\n{name}", name)
            if meter is None:
                return None
            made.append(Budget(limit, name, deployment, meter, owner=tenant))
        return tuple(made)

    def _meter(self, key: str, name: str) -> Meter | None:
        book = self._book
        cells = book.cells(key, max(Window.SIZE, MAX_WORKERS))
        if cells is None:
            return None
        if key not in self._met:
            self._met.add(key)
            if name == "max_concurrent":
                cells[book.own] = 0  # what ran in a process that had this place before has ended with it
        if name == "max_concurrent":
            return Running(cells, book.workers, book.own)
        if name.endswith("minute"):
            return Window(cells)
        return Calendar(cells, self._wall, months=name.endswith("month"))


def _short(now: float, budget: Budget, estimate: Estimate) -> Refused | None:
    """The refusal, where the budget does not suffice."""
    amount, used = budget.amount(estimate), budget.meter.used(now)
    excess = used + amount - budget.limit
    if budget.lease is not None:
        return _short_here(now, budget, amount, used)
    if excess <= 0:
        return None
    never = amount > budget.limit
    return Refused(None if never else budget.meter.wait(now, excess), _standing(now, budget))


def _short_here(now: float, budget: Budget, amount: int, used: int) -> Refused | None:
    """The refusal, where this replica's part of the budget does not suffice."""
    lease = budget.lease
    assert lease is not None  # noqa: S101 - the caller has looked
    excess = used + amount - lease.allowed(now)
    lease.ask(amount, lacked=excess > 0)
    if excess <= 0:
        return None
    if amount > budget.limit:
        return Refused(None, _standing(now, budget))
    elsewhere = lease.is_fresh(now) and amount <= lease.free
    wait = RETRY_SECONDS if elsewhere else budget.meter.wait(now, min(excess, used))
    return Refused(max(wait, RETRY_SECONDS), _standing(now, budget))


def _standing(now: float, budget: Budget) -> Standing:
    used = budget.meter.used(now)
    return Standing(budget.name, budget.deployment, budget.limit, used, budget.meter.wait(now, used) if used else 0.0)
