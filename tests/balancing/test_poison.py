"""A request that draws faults from several backends is to blame, not they, if they served others meanwhile."""

from table import FAULT, REFUSED, SILENCE, Bench

from lb.balancing.attempt import Attempt
from lb.balancing.verdict import RELAY


def test_backends_that_served_others_meanwhile_get_no_strike() -> None:
    bench = Bench("a b")
    for _ in range(10):
        earlier: list[Attempt] = []
        for name in ("a", "b"):
            poisoned, other = bench.take(name), bench.take(name)
            bench.now += 0.1
            bench.end(other, RELAY)
            earlier.append(bench.end(poisoned, FAULT, *earlier))
    assert bench.facts() == []
    assert bench.health("a").breaker.strikes == 0
    assert bench.health("b").breaker.strikes == 0


def three_poisoned_at_once(bench: Bench) -> list[Attempt]:
    """Three such requests draw a fault from `a`, which serves somebody else while they run."""
    poisoned = [bench.take("a") for _ in range(3)]
    bench.now += 1
    bench.succeed("a")
    for attempt in poisoned:
        bench.end(attempt, FAULT)
    return poisoned


def test_an_ejection_that_poison_caused_is_taken_back_when_a_second_backend_fails_on_it() -> None:
    bench = Bench("a b")
    poisoned = three_poisoned_at_once(bench)
    assert bench.facts() == [("Ejected", "a", 10.0)]
    for attempt in poisoned:
        bench.end(bench.take("b"), FAULT, attempt)
    assert bench.facts() == [("Restored", "a", 0.0), ("Ejected", "b", 10.0)]
    assert bench.health("a").breaker.strikes == 0
    assert bench.pick() == "a"


def test_a_fault_on_one_backend_only_is_that_backends() -> None:
    bench = Bench("a b")
    for attempt in three_poisoned_at_once(bench):
        bench.end(bench.take("b"), RELAY, attempt)
    assert bench.pick() == "b"


def test_backends_that_served_nobody_meanwhile_are_ejected() -> None:
    bench = Bench("a b")
    for _ in range(3):
        first = bench.end(bench.take("a"), FAULT)
        bench.end(bench.take("b"), FAULT, first)
    assert bench.facts() == [("Ejected", "a", 10.0), ("Ejected", "b", 10.0)]


def test_a_strike_is_taken_back_only_once() -> None:
    bench = Bench("a b c")
    attempt = three_poisoned_at_once(bench)[0]
    second = bench.end(bench.take("b"), FAULT, attempt)
    bench.end(bench.take("c"), FAULT, attempt, second)
    assert bench.health("a").breaker.strikes == 2


def test_a_strike_that_a_success_has_wiped_out_is_not_taken_back_from_later_ones() -> None:
    bench = Bench("a b")
    poisoned = bench.take("a")
    bench.now += 1
    bench.end(poisoned, FAULT)
    bench.succeed("a")
    bench.meet("a", FAULT, FAULT, FAULT)
    bench.facts()
    bench.end(bench.take("b"), FAULT, poisoned)
    assert bench.facts() == []
    assert bench.pick() == "b"


def test_a_fault_that_was_old_news_is_not_taken_back_either() -> None:
    bench = Bench("a b")
    late, other = bench.take("a"), bench.take("a")
    bench.now += 1
    bench.meet("a", FAULT, FAULT, FAULT)
    bench.end(other, RELAY)
    bench.end(late, FAULT)
    bench.end(bench.take("b"), FAULT, late)
    assert bench.health("a").breaker.strikes == 3


def test_a_failed_connection_says_nothing_about_the_request() -> None:
    bench = Bench("a b")
    poisoned = three_poisoned_at_once(bench)
    bench.facts()
    for attempt in poisoned:
        bench.end(bench.take("b"), REFUSED, attempt)
    assert bench.facts() == [("Ejected", "b", 10.0)]


def test_a_failed_connection_is_a_strike_although_others_are_served_over_open_ones() -> None:
    bench = Bench("a b")
    for _ in range(3):
        first = bench.end(bench.take("a"), FAULT)
        failing, served = bench.take("b"), bench.take("b")
        failing_at = bench.health("b").site.breaker.strikes
        bench.health("b").last_success = bench.now
        bench.end(failing, REFUSED, first)
        assert bench.health("b").site.breaker.strikes == failing_at + 1
        bench.pool.release(served)


def test_silence_on_several_backends_that_serve_others_is_about_the_request_too() -> None:
    bench = Bench("a b")
    for _ in range(4):
        first, other = bench.take("a"), bench.take("a")
        bench.now += 240
        bench.end(other, RELAY)
        bench.end(first, SILENCE)
        second, other = bench.take("b"), bench.take("b")
        bench.now += 240
        bench.end(other, RELAY)
        bench.end(second, SILENCE, first)
    assert bench.facts() == []
