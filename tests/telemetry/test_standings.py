"""Budgets as rows of `/metrics`."""

from lb.metering.budget import Standing
from lb.telemetry.names import OTHER, Names
from lb.telemetry.standings import standing_rows


def test_each_budget_has_its_limit_and_what_was_used_of_it() -> None:
    overview = {
        "ada": [Standing("tokens_per_minute", None, 100, 30, 12.0), Standing("max_concurrent", "Chat", 4, 0, 0.0)],
        "bob": [],
    }
    seen = standing_rows(overview, Names(10))
    assert seen["lb_quota_limit"] == [
        ["ada", "all", "tokens_per_minute", 100],
        ["ada", "chat", "max_concurrent", 4],
    ]
    assert seen["lb_quota_used"] == [["ada", "all", "tokens_per_minute", 30], ["ada", "chat", "max_concurrent", 0]]


def test_tenants_beyond_those_that_have_labels_make_no_series_of_their_own() -> None:
    overview = {name: [Standing("tokens_per_minute", None, 1, 0, 0.0)] for name in ("ada", "bob")}
    assert [row[0] for row in standing_rows(overview, Names(1))["lb_quota_used"]] == ["ada", OTHER]
