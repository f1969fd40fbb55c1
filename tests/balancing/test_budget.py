"""The budget for retried faults: a share of the requests, with a floor, in any ten seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.budget import FaultBudget


def spend(budget: FaultBudget, now: float, wanted: int = 1000) -> int:
    return sum(budget.retry(now) for _ in range(wanted))


def test_five_faults_may_be_retried_however_few_requests_there_are() -> None:
    assert spend(FaultBudget(), 1000.0) == 5


def test_beyond_that_a_fifth_of_the_requests() -> None:
    budget = FaultBudget()
    for _ in range(200):
        budget.request(1000.0)
    assert spend(budget, 1000.0) == 40


def test_the_budget_is_back_after_ten_seconds() -> None:
    budget = FaultBudget()
    assert spend(budget, 1000.99) == 5
    assert spend(budget, 1009.9) == 0
    assert spend(budget, 1010.98) == 0
    assert spend(budget, 1011.0) == 5


@pytest.mark.parametrize("gap", [12.0, 100.0, 1e6])
def test_after_a_quiet_time_nothing_old_counts(gap: float) -> None:
    budget = FaultBudget()
    for _ in range(1000):
        budget.request(1000.0)
    assert spend(budget, 1000.0 + gap) == 5


def test_a_clock_that_steps_back_changes_nothing() -> None:
    budget = FaultBudget()
    assert spend(budget, 1000.0) == 5
    assert spend(budget, 999.0) == 0


MOMENTS = st.lists(st.tuples(st.floats(0, 60), st.booleans()), max_size=300).map(sorted)


@given(MOMENTS)
def test_no_ten_seconds_see_more_retries_than_floor_or_share_allows(moments: list[tuple[float, bool]]) -> None:
    budget = FaultBudget()
    requests: list[float] = []
    retries: list[float] = []
    for now, is_retry in moments:
        if not is_retry:
            budget.request(now)
            requests.append(now)
        elif budget.retry(now):
            retries.append(now)
            around = sum(now - 12 < at <= now for at in requests)
            assert sum(now - 10 < at <= now for at in retries) <= max(5, 0.2 * around + 1)


@given(MOMENTS)
def test_the_floor_is_never_withheld(moments: list[tuple[float, bool]]) -> None:
    budget = FaultBudget()
    granted: list[float] = []
    for now, is_retry in moments:
        if not is_retry:
            budget.request(now)
            continue
        lately = sum(now - 12 < at for at in granted)
        allowed = budget.retry(now)
        assert allowed or lately >= 5
        if allowed:
            granted.append(now)
