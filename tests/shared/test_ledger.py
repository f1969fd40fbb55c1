"""Budgets of several workers: real processes, since the kernel keeps the lock per process."""

import os
from collections.abc import Callable

import pytest

from lb.metering.budget import Estimate
from lb.metering.quota import Quota, Ticket
from lb.metering.tenant import Limits, Tenant
from lb.metering.usage import Usage
from lb.shared.ledger import Ledger, WorkerBook

NOW = 1000.0
ADA = Tenant("ada", Limits(tokens_per_minute=1000, requests_per_minute=1000, max_concurrent=500))


def in_a_child(act: Callable[[], int]) -> int:
    """Start it; its exit code is what `act` returns."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = act()
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def taken(quota: Quota, tokens: int = 1) -> int:
    """How many requests are let in until the first is not, up to 250."""
    for count in range(250):
        if not isinstance(quota.reserve(NOW, "ada", None, Estimate(tokens)), Ticket):
            return count
    return 250


def test_workers_share_one_budget_and_lose_nothing_of_it() -> None:
    ledger = Ledger(4)
    children = [in_a_child(lambda n=n: taken(Quota([ADA], book=WorkerBook(ledger, n)), 2)) for n in range(4)]  # type: ignore[misc]
    assert sum(map(ended, children)) == 500
    standing = Quota([ADA], book=WorkerBook(ledger, 0)).standings(NOW, "ada")[0]
    assert (standing.used, standing.remaining) == (1000, 0)


def test_what_a_dead_worker_was_running_no_longer_counts_when_its_successor_begins() -> None:
    ledger = Ledger(2)
    first = Quota([ADA], book=WorkerBook(ledger, 0))
    assert isinstance(first.reserve(NOW, "ada", None, Estimate(1)), Ticket)
    assert ended(in_a_child(lambda: taken(Quota([ADA], book=WorkerBook(ledger, 1)), 0))) == 250

    def running() -> int:
        return next(each.used for each in first.standings(NOW, "ada") if each.name == "max_concurrent")

    assert running() == 251
    Quota([ADA], book=WorkerBook(ledger, 1))
    assert running() == 1


def test_a_reload_does_not_forget_what_runs() -> None:
    book = WorkerBook(Ledger(1), 0)
    quota = Quota([ADA], book=book)
    ticket = quota.reserve(NOW, "ada", None, Estimate(100))
    quota.replace([ADA])
    assert [each.used for each in quota.standings(NOW, "ada")] == [100, 1, 1]
    assert isinstance(ticket, Ticket)
    quota.settle(NOW, ticket, Usage(total=30))
    assert [each.used for each in quota.standings(NOW, "ada")] == [30, 1, 0]


def test_when_all_rows_are_taken_it_is_told_who_goes_without() -> None:
    tenants = [Tenant(name, Limits(tokens_per_minute=1)) for name in ("ada", "bob", "eve")]
    quota = Quota((), book=WorkerBook(Ledger(1, rows=2), 0))
    assert quota.replace(tenants) == ["eve"]


def test_a_sum_that_a_death_left_wrong_is_right_again_within_a_minute() -> None:
    ledger = Ledger(1)
    quota = Quota([ADA], book=WorkerBook(ledger, 0))
    quota.reserve(NOW, "ada", None, Estimate(100))
    row = next(row for row in range(ledger.rows) if ledger.words[row * 243] == 100)
    ledger.words[row * 243] += 500
    quota.reserve(NOW + 30, "ada", None, Estimate(100))
    assert quota.standings(NOW + 60, "ada")[0].used in (100, 200)


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_worker_whose_wall_is_behind_counts_in_the_day_that_another_has_begun(period: str) -> None:
    ledger, before_midnight = Ledger(2), 20_058 * 86_400 - 1800.0  # of the last of November
    eve = Tenant("eve", Limits(**{f"tokens_per_{period}": 1000}))
    behind = Quota([eve], lambda now: before_midnight + now, WorkerBook(ledger, 0))
    ahead = Quota([eve], lambda now: before_midnight + now + 3600, WorkerBook(ledger, 1))

    def used() -> int:
        return ahead.standings(NOW, "eve")[0].used

    def asked(real: int) -> None:
        ticket = behind.reserve(NOW, "eve", None, Estimate(100))
        assert isinstance(ticket, Ticket)
        behind.settle(NOW, ticket, Usage(total=real))

    running = behind.reserve(NOW, "eve", None, Estimate(100))
    assert isinstance(running, Ticket)
    assert used() == 0
    behind.settle(NOW, running, Usage(total=300))
    assert used() == 200, "what nobody could know of before the day began"
    asked(real=150)
    assert used() == 350
    asked(real=10)
    assert used() == 360
    assert behind.standings(NOW, "eve")[0].used == 360
