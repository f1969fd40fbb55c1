"""Budgets: an estimate is reserved at admission and settled with what it really was. Nothing is read and written later.

A reservation counts from the moment of admission, as Azure's own limits count. In any minute, what a tenant used is at
most its budget and what its running requests turn out to use beyond their reservations. Tenants share no number, so
none can be refused because of another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lb.metering.book import MAX_WORKERS, Book, LocalBook
from lb.metering.budget import Budget, Estimate, Hold, Refused, Standing, shared_standing, short, standing
from lb.metering.lease import Grant, Lease, Report
from lb.metering.meter import Calendar, Meter, Running, Window
from lb.metering.tenant import Limits, Tenant
from lb.metering.usage import Usage


@dataclass(slots=True, eq=False)
class Ticket:
    """A reservation. Settle it or cancel it; whatever comes after the first does nothing."""

    quota: "Quota"
    tenant: str
    holds: Sequence[Hold]
    open: bool = True
    spent: int = 0
    """Tokens that were counted while the request ran, beside what is held."""


class _Budgets(NamedTuple):
    """Of one tenant."""

    general: tuple[Budget, ...]
    """For all deployments together."""
    concerned: Mapping[str, tuple[Budget, ...]]
    """By deployment, where it has limits of its own: what a request for it concerns, the general ones included."""
    every: tuple[Budget, ...]


class Quota:
    """All budgets. `wall` makes seconds since the epoch out of `now`, for days and months."""

    def __init__(
        self, tenants: Iterable[Tenant], wall: Callable[[float], float] = lambda now: now, book: Book | None = None
    ) -> None:
        self._wall = wall
        self._book = book or LocalBook()
        self._turn = self._book.turn
        self._met: set[str] = set()
        self._replicas: int | None = None
        self._budgets: dict[str, _Budgets] = {}
        self.replace(tenants)

    def replace(self, tenants: Iterable[Tenant]) -> list[str]:
        """Swap the limits; what was used stays used. Returns the tenants for whose limits there is no room."""
        with self._turn:
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
        tokens = estimate[0] + estimate[1]
        holds: list[Hold] = []
        with self._turn:
            for budget in budgets:
                amount, meter, lease = 1, budget.meter, budget.lease
                if budget.counts_tokens:
                    amount = tokens if tokens <= budget.limit else budget.amount(estimate)
                cells = meter.cells
                if now >= meter.ends or cells[1] != meter.number:
                    meter.advance(now)
                used = cells[0] + amount
                if used > (budget.limit if lease is None else lease.allowed(now)):
                    return self._refuse(now, budgets, estimate, holds)
                cells[0] = used
                cells[meter.place] += amount
                holds.append((budget, meter.number, amount))
        if self._replicas is not None:
            _ask(holds)
        return Ticket(self, tenant, holds)

    def _refuse(self, now: float, budgets: Iterable[Budget], estimate: Estimate, holds: Iterable[Hold]) -> Refused:
        """Give back what was taken, and tell of the budget that lacks for the longest time."""
        for budget, mark, amount in holds:
            budget.meter.settle(now, mark, amount, 0)
        refused = [found for budget in budgets if (found := short(now, budget, estimate)) is not None]
        return max(refused, key=lambda found: float("inf") if found.seconds is None else found.seconds)

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
        return [budget for each in self._budgets.values() for budget in each.every if not budget.concurrent]

    def spend(self, now: float, ticket: Ticket, usage: Usage) -> None:
        """A part of a request that goes on has cost this much: it counts from now on, and not again at its end."""
        tokens = _tokens(usage)
        ticket.spent += tokens
        with self._turn:
            for budget, mark, _ in ticket.holds if ticket.open else ():
                if budget.counts_tokens:
                    budget.meter.settle(now, mark, 0, tokens)

    def settle(self, now: float, ticket: Ticket, usage: Usage | None) -> None:
        """The request has ended and cost this much; None or an unknown usage: the reservation stands."""
        tokens = None
        if usage is not None and not usage.unknown:
            tokens = _tokens(usage) - ticket.spent
            if tokens < 0:
                tokens = 0
        self._close(now, ticket, tokens, 1)

    def cancel(self, now: float, ticket: Ticket) -> None:
        """No backend took the request: it cost nothing and does not count."""
        self._close(now, ticket, 0, 0)

    def standings(self, now: float, tenant: str, deployment: str | None = None) -> list[Standing]:
        """How the budgets of a tenant stand that concern a deployment; without one, all of them."""
        budgets = self._budgets.get(tenant)
        if budgets is None:
            return []
        with self._turn:
            concerned = budgets.every if deployment is None else self._concerned(tenant, deployment)
            return [standing(now, budget) for budget in concerned]

    def overview(self, now: float) -> dict[str, list[Standing]]:
        """How all budgets stand, by tenant; with what other replicas have used, as last told."""
        with self._turn:
            return {
                name: [shared_standing(now, budget) for budget in budgets.every]
                for name, budgets in self._budgets.items()
            }

    def _close(self, now: float, ticket: Ticket, tokens: int | None, requests: int) -> None:
        if not ticket.open:
            return
        ticket.open = False
        if not ticket.holds:
            return
        with self._turn:
            for budget, mark, amount in ticket.holds:
                real = tokens if budget.counts_tokens else 0 if budget.concurrent else requests
                if real is not None and real != amount:
                    budget.meter.settle(now, mark, amount, real)

    def _concerned(self, tenant: str, deployment: str | None) -> tuple[Budget, ...]:
        budgets = self._budgets.get(tenant)
        if budgets is None:
            return ()
        if deployment is None or not budgets.concerned:
            return budgets.general
        return budgets.concerned.get(deployment.lower(), budgets.general)

    def _of(self, tenant: Tenant) -> _Budgets | None:
        general = self._make(tenant.name, None, tenant.limits)
        own = {name: self._make(tenant.name, name, limits) for name, limits in tenant.deployment_limits.items()}
        if general is None or any(made is None for made in own.values()):
            return None
        found = {name: made or () for name, made in own.items()}
        every = (*general, *[budget for made in found.values() for budget in made])
        return _Budgets(general, {name: general + made for name, made in found.items()}, every)

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
        cells = book.cells(key, max(Window.SIZE, MAX_WORKERS + 2))
        if cells is None:
            return None
        if name == "max_concurrent":
            running = Running(cells, book.workers, book.own)
            if key not in self._met:
                self._met.add(key)
                running.begin()
            return running
        if name.endswith("minute"):
            return Window(cells)
        return Calendar(cells, self._wall, months=name.endswith("month"))


def _ask(holds: Iterable[Hold]) -> None:
    """So that replicas know what is wanted here."""
    for budget, _, amount in holds:
        if budget.lease is not None:
            budget.lease.ask(amount, lacked=False)


def _tokens(usage: Usage) -> int:
    total, added_up = usage.total, usage.prompt + usage.completion
    return max(total, added_up)
