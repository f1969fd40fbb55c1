"""A backend asked for silence: it gets it, and comes back without a herd."""

import pytest
from table import FAULT, Bench, asks

from lb.balancing.backend import Backend
from lb.balancing.pool import TRIAL_HINT, Pool
from lb.balancing.verdict import RELAY, RELAY_ERROR


def test_a_throttled_backend_is_left_alone_for_as_long_as_it_asked() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    for bench.now in (1000.0, 1003.0, 1006.999):
        assert bench.pick() == "b"
        assert bench.begin(tried="b") is None
    bench.now = 1007.0
    assert bench.pick() == "a"


def test_another_deployment_of_a_throttled_backend_is_not_throttled() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    assert bench.pick("embedding") == "a"
    assert bench.pick(None) == "a"


def test_two_aliases_of_one_deployment_share_its_quota() -> None:
    backend = Backend("a", "https://a", deployments={"chat": "gpt", "fast": "gpt", "other": "mini"})
    pool = Pool([backend], lambda fact: None)
    attempt = pool.begin(1000.0, "chat", set(), "r")
    assert attempt is not None
    pool.learn(1000.0, attempt, asks(7))
    assert pool.begin(1001.0, "fast", set(), "r") is None
    assert pool.begin(1001.0, "other", set(), "r") is not None
    assert pool.soonest(1001.0, "fast") == 6.0


def test_a_late_short_hint_does_not_cut_a_long_cooldown() -> None:
    bench = Bench("a b")
    late = bench.take("a")
    bench.meet("a", asks(60))
    bench.now += 1
    bench.end(late, asks(2))
    bench.now = 1059.9
    assert bench.pick() == "b"


def test_a_later_longer_hint_extends_a_cooldown() -> None:
    bench = Bench("a b")
    late = bench.take("a")
    bench.meet("a", asks(5))
    bench.now += 1
    bench.end(late, asks(30))
    bench.now = 1030.9
    assert bench.pick() == "b"
    assert bench.facts() == [("Cooled", "a", 5.0)]


def test_a_success_begun_before_a_cooldown_does_not_clear_it() -> None:
    bench = Bench("a b")
    late = bench.take("a")
    bench.meet("a", asks(7))
    bench.now += 1
    bench.end(late, RELAY)
    assert bench.pick() == "b"
    bench.now = 1007.0
    assert [bench.take("a"), bench.take("a")]
    assert bench.pick() == "b"


def test_after_a_cooldown_at_most_two_go_until_one_succeeds() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    bench.now += 7
    first, second = bench.take("a"), bench.take("a")
    assert [bench.pick() for _ in range(5)] == ["b"] * 5
    bench.end(first, RELAY)
    assert [bench.begin().backend.name for _ in range(20)] == ["a"] * 20  # type: ignore[union-attr]
    bench.end(second, RELAY)


@pytest.mark.parametrize("verdict", [FAULT, RELAY_ERROR], ids=["fault", "an error of the request"])
def test_a_trial_that_did_not_succeed_lets_one_more_try_not_all(verdict: object) -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    bench.now += 7
    first, _ = bench.take("a"), bench.take("a")
    bench.end(first, verdict)  # type: ignore[arg-type]
    assert bench.begin().backend.name == "a"  # type: ignore[union-attr]
    assert [bench.pick() for _ in range(5)] == ["b"] * 5


def test_a_trial_that_is_throttled_again_begins_a_new_cooldown() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    bench.now += 7
    bench.meet("a", asks(9))
    assert bench.facts() == [("Cooled", "a", 7.0), ("Restored", "a", 0.0), ("Cooled", "a", 9.0)]
    bench.now += 8.9
    assert bench.pick() == "b"


def test_a_trial_whose_client_left_gives_its_place_back() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    bench.now += 7
    first, _ = bench.take("a"), bench.take("a")
    bench.pool.release(first)
    assert bench.pick() == "a"


def test_a_cooldown_is_told_once_and_its_end_once() -> None:
    bench = Bench("a b")
    running = [bench.take("a") for _ in range(5)]
    for attempt in running:
        bench.end(attempt, asks(7))
    assert bench.facts() == [("Cooled", "a", 7.0)]
    bench.now += 6.9
    bench.pool.expire(bench.now)
    assert bench.facts() == []
    bench.now += 0.2
    bench.pool.expire(bench.now)
    bench.pool.expire(bench.now)
    bench.succeed("a")
    assert bench.facts() == [("Restored", "a", 0.0)]


def test_the_end_of_a_cooldown_is_told_by_the_next_request_too() -> None:
    bench = Bench("a b c")
    bench.meet("b", asks(3))
    bench.meet("a", asks(7))
    bench.facts()
    bench.now += 4
    bench.pick()
    assert bench.facts() == [("Restored", "b", 0.0)]
    bench.now += 4
    bench.pick()
    assert bench.facts() == [("Restored", "a", 0.0)]


def test_a_backend_is_not_called_available_while_it_is_ejected_as_well() -> None:
    bench = Bench("a b")
    late = [bench.take("a") for _ in range(3)]
    bench.meet("a", asks(2))
    for attempt in late:
        bench.end(attempt, FAULT)
    assert bench.facts() == [("Cooled", "a", 2.0), ("Ejected", "a", 10.0)]
    bench.now += 5
    bench.pool.expire(bench.now)
    assert bench.facts() == []
    bench.now += 5
    bench.succeed("a")
    assert bench.facts() == [("Restored", "a", 0.0)]


def test_soonest_is_the_first_return_of_those_that_may_serve_this_deployment() -> None:
    bench = Bench("a b c")
    bench.meet("a", asks(20))
    bench.meet("b", asks(7))
    bench.meet("c", asks(3), deployment="embedding")
    assert bench.pool.soonest(bench.now, "chat") == 7.0
    assert bench.pool.soonest(bench.now + 2, "chat") == 5.0
    assert bench.pool.soonest(bench.now, "embedding") == 3.0
    assert bench.pool.soonest(bench.now, None) is None


def test_while_two_trials_run_the_wait_is_a_second() -> None:
    bench = Bench("a")
    bench.meet("a", asks(7))
    bench.now += 7
    bench.take("a"), bench.take("a")
    assert bench.begin() is None
    assert bench.pool.awaits_trial(bench.now, "chat", set())
    assert bench.pool.soonest(bench.now, "chat") == TRIAL_HINT


def test_a_cooldown_of_long_ago_is_no_throttling_though_nobody_has_come_since() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    bench.now += 3600
    assert bench.pool.soonest(bench.now, "chat") is None


def test_a_day_asked_for_by_a_backend_that_serves_is_about_that_one_request() -> None:
    bench = Bench("a b")
    bench.succeed("a")
    bench.now += 59
    bench.meet("a", asks(86400))
    assert bench.facts() == [("Cooled", "a", 10.0)]


@pytest.mark.parametrize(
    ("asked", "age", "seconds"), [(86400, 61, 120.0), (60, 1, 60.0), (60.5, 1, 10.0), (9, 1, 9.0), (1e9, 60, 10.0)]
)
def test_beyond_azures_window_counts_who_served_within_a_minute(asked: float, age: float, seconds: float) -> None:
    bench = Bench("a b")
    bench.succeed("a")
    bench.now += age
    bench.meet("a", asks(asked))
    assert bench.facts() == [("Cooled", "a", seconds)]


def test_an_error_of_a_request_is_not_service_that_makes_a_day_implausible() -> None:
    bench = Bench("a b")
    bench.meet("a", RELAY_ERROR, asks(86400))
    assert bench.facts() == [("Cooled", "a", 120.0)]


def test_service_of_another_deployment_does_not_make_a_day_implausible() -> None:
    bench = Bench("a b")
    bench.meet("a", RELAY, deployment="embedding")
    bench.meet("a", asks(86400))
    assert bench.facts() == [("Cooled", "a", 120.0)]
