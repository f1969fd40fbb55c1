"""Budgets, one sentence at a time."""

from datetime import UTC, datetime

import pytest

from lb.metering.budget import Estimate, Refused, Standing
from lb.metering.lease import STALE_SECONDS, Grant
from lb.metering.quota import Quota, Ticket
from lb.metering.tenant import Limits, Tenant
from lb.metering.usage import UNKNOWN, Usage


class Bench:
    """One tenant, and a clock that is moved by hand."""

    def __init__(self, deployment_limits: dict[str, Limits] | None = None, **limits: int) -> None:
        self.now = 1000.0
        self.quota = Quota([Tenant("ada", Limits(**limits), deployment_limits or {}), Tenant("bob", Limits(**limits))])

    def ask(self, prompt: int = 0, answer: int = 0, deployment: str | None = "chat", tenant: str = "ada") -> Ticket:
        found = self.quota.reserve(self.now, tenant, deployment, Estimate(prompt, answer))
        assert isinstance(found, Ticket), found
        return found

    def refused(self, prompt: int = 0, answer: int = 0, deployment: str | None = "chat") -> Refused:
        found = self.quota.reserve(self.now, "ada", deployment, Estimate(prompt, answer))
        assert isinstance(found, Refused)
        return found

    def end(self, ticket: Ticket, tokens: int | None) -> None:
        self.quota.settle(self.now, ticket, None if tokens is None else Usage(prompt=tokens, total=tokens))

    def standing(self, name: str) -> Standing:
        return next(each for each in self.quota.standings(self.now, "ada") if each.name == name)


def test_what_is_reserved_is_not_there_for_others_until_it_is_settled() -> None:
    bench = Bench(tokens_per_minute=100)
    ticket = bench.ask(30, 50)
    assert bench.refused(30).limit.remaining == 20
    bench.end(ticket, 40)
    bench.ask(60)
    assert bench.refused(1).limit.name == "tokens_per_minute"


def test_a_refusal_ends_to_the_millisecond_when_it_said_so() -> None:
    bench = Bench(tokens_per_minute=100)
    bench.ask(60)
    bench.now += 20
    bench.ask(40)
    seconds = bench.refused(30).seconds
    assert seconds is not None
    assert 40 <= seconds <= 40.25
    bench.now += seconds - 0.001
    bench.refused(30)
    bench.now += 0.001
    bench.ask(30)


def test_the_wait_is_for_as_much_as_the_request_needs() -> None:
    bench = Bench(tokens_per_minute=100)
    bench.ask(10)
    bench.now += 30
    bench.ask(90)
    assert bench.refused(10).seconds == pytest.approx(30.25, abs=0.25)
    assert bench.refused(11).seconds == pytest.approx(60.25, abs=0.25)


def test_of_two_limits_that_refuse_the_one_that_lasts_longer_is_told() -> None:
    bench = Bench(requests_per_minute=1, max_concurrent=1)
    bench.ask()
    assert bench.refused().limit.name == "requests_per_minute"


def test_what_nobody_told_the_cost_of_stays_as_it_was_reserved() -> None:
    bench = Bench(tokens_per_minute=100)
    bench.end(bench.ask(50), None)
    bench.quota.settle(bench.now, bench.ask(50), UNKNOWN)
    assert bench.standing("tokens_per_minute").used == 100


def test_a_request_that_nobody_took_does_not_count() -> None:
    bench = Bench(tokens_per_minute=100, requests_per_minute=1, max_concurrent=1)
    ticket = bench.ask(100)
    bench.quota.cancel(bench.now, ticket)
    bench.quota.settle(bench.now, ticket, Usage(total=70))  # too late: it is closed
    assert {each.used for each in bench.quota.standings(bench.now, "ada")} == {0}


def test_what_goes_beyond_its_reservation_is_owed() -> None:
    bench = Bench(tokens_per_minute=100)
    ticket = bench.ask(10)
    bench.now += 50
    bench.end(ticket, 150)
    assert bench.standing("tokens_per_minute").used == 150
    bench.now += 11
    assert bench.standing("tokens_per_minute").used == 140
    assert bench.refused(1).seconds == pytest.approx(49.25, abs=0.25)


def test_an_answer_may_be_allowed_to_be_longer_than_the_budget_but_takes_all_of_it() -> None:
    bench = Bench(tokens_per_minute=100)
    bench.ask(10, 100_000)
    assert bench.standing("tokens_per_minute").remaining == 0


def test_a_prompt_that_no_budget_can_hold_is_not_told_to_wait() -> None:
    bench = Bench(tokens_per_minute=100)
    assert bench.refused(101).seconds is None


def test_a_refused_request_takes_nothing() -> None:
    bench = Bench({"chat": Limits(tokens_per_minute=10)}, tokens_per_minute=100, requests_per_minute=10)
    bench.refused(11)
    bench.ask(100, deployment="embedding")
    assert bench.standing("requests_per_minute").used == 1


def test_a_deployments_limit_holds_for_it_alone_and_in_any_spelling() -> None:
    bench = Bench({"chat": Limits(requests_per_minute=1)})
    bench.ask()
    assert bench.refused(deployment="CHAT").limit.deployment == "chat"
    bench.ask(deployment="embedding")
    bench.ask(deployment=None)


def test_tenants_do_not_share() -> None:
    bench = Bench(tokens_per_minute=100, requests_per_minute=1, max_concurrent=1)
    bench.ask(100)
    bench.ask(100, tenant="bob")


def test_running_requests_count_until_they_end() -> None:
    bench = Bench(max_concurrent=2)
    first = bench.ask()
    bench.ask()
    assert bench.refused().seconds == 1.0
    bench.now += 1000
    bench.refused()
    bench.end(first, None)
    bench.ask()


def test_limits_can_be_changed_and_what_was_used_stays_used() -> None:
    bench = Bench(tokens_per_minute=100)
    ticket = bench.ask(80)
    bench.quota.replace([Tenant("ada", Limits(tokens_per_minute=150))])
    assert bench.standing("tokens_per_minute").remaining == 70
    bench.end(ticket, 20)
    assert bench.standing("tokens_per_minute").remaining == 130
    assert bench.quota.standings(bench.now, "bob") == []


def test_the_overview_tells_of_every_budget_and_of_what_other_replicas_used() -> None:
    bench = Bench({"chat": Limits(requests_per_minute=7)}, tokens_per_minute=100)
    bench.quota.share(2)
    for report in bench.quota.reports(bench.now):
        bench.quota.grant(bench.now, {report.key: Grant(report.wanted, 2, report.limit, False)})
    bench.end(bench.ask(20), 20)

    def used() -> dict[str, int]:
        return {each.name: each.used for each in bench.quota.overview(bench.now)["ada"]}

    assert used() == {"tokens_per_minute": 20, "requests_per_minute": 1}
    tokens = next(report for report in bench.quota.reports(bench.now) if report.key.startswith("ada::tokens"))
    bench.quota.grant(bench.now, {tokens.key: Grant(50, 2, 35, False)})
    assert used()["tokens_per_minute"] == 65, "20 here and 45 elsewhere"
    bench.now += STALE_SECONDS
    assert used()["tokens_per_minute"] == 20, "without news it is told what is known"
    assert bench.quota.overview(bench.now)["bob"][0].used == 0


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("tokens_per_day", "2026-11-21T23:59:50", "2026-11-22"),
        ("tokens_per_month", "2026-11-30T23:59:50", "2026-12-01"),
        ("tokens_per_month", "2026-12-02", "2027-01-01"),
        ("tokens_per_month", "2028-02-28", "2028-03-01"),
    ],
)
def test_days_and_months_begin_anew_at_midnight_utc(name: str, begin: str, end: str) -> None:
    bench = Bench(**{name: 100})
    bench.now = seconds(begin)
    ticket = bench.ask(100)
    assert bench.refused(1).seconds == seconds(end) - seconds(begin)
    bench.now = seconds(end) - 0.001
    bench.refused(1)
    bench.now = seconds(end)
    bench.ask(90)
    bench.end(ticket, 20)  # of the day before: what it did not take is gone
    assert bench.standing(name).used == 90


def test_what_is_spent_on_the_way_counts_at_once_and_not_again_at_the_end() -> None:
    bench = Bench(tokens_per_minute=100, tokens_per_day=1000, requests_per_minute=5, max_concurrent=2)
    ticket = bench.ask(1)
    bench.now += 90
    bench.quota.spend(bench.now, ticket, Usage(prompt=30, completion=10, total=40))
    assert bench.standing("tokens_per_minute").used == 40
    assert bench.standing("tokens_per_day").used == 41
    assert bench.standing("max_concurrent").used == 1
    bench.now += 90
    bench.quota.spend(bench.now, ticket, Usage(prompt=50, total=50))
    bench.end(ticket, 90)
    assert bench.standing("tokens_per_minute").used == 50
    assert bench.standing("tokens_per_day").used == 90
    assert bench.standing("max_concurrent").used == 0


def test_a_ticket_that_is_closed_is_spent_on_no_more() -> None:
    bench = Bench(tokens_per_minute=100)
    ticket = bench.ask(1)
    bench.end(ticket, 10)
    bench.quota.spend(bench.now, ticket, Usage(prompt=30, total=30))
    assert bench.standing("tokens_per_minute").used == 10
