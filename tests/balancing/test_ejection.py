"""Faults in a row eject; then one probe."""

import pytest
from table import FAULT, REFUSED, SILENCE, Bench, asks

from lb.balancing.verdict import RELAY, RELAY_ERROR, Misconfigured

NO_KEY = Misconfigured("HTTP 401")


def test_three_faults_in_a_row_eject_for_ten_seconds() -> None:
    bench = Bench("a b")
    bench.meet("a", FAULT, FAULT)
    assert bench.pick() == "a"
    bench.meet("a", FAULT)
    assert bench.facts() == [("Ejected", "a", 10.0)]
    bench.now += 9.9
    assert bench.pick() == "b"


@pytest.mark.parametrize("answer", [RELAY, RELAY_ERROR, asks(0.1)], ids=["success", "4xx", "throttled"])
def test_an_answer_between_faults_begins_a_new_row(answer: object) -> None:
    bench = Bench("a b")
    bench.meet("a", FAULT, FAULT, answer)  # type: ignore[arg-type]
    bench.now += 1
    bench.meet("a", FAULT, FAULT)
    assert bench.pick() == "a"


def test_faults_of_one_deployment_do_not_eject_another() -> None:
    bench = Bench("a b")
    bench.meet("a", FAULT, FAULT, FAULT)
    assert bench.pick("embedding") == "a"


def test_failed_connections_are_counted_for_the_backend_as_a_whole() -> None:
    bench = Bench("a b")
    bench.meet("a", REFUSED)
    bench.meet("a", REFUSED, deployment="embedding")
    bench.meet("a", REFUSED, deployment=None)
    assert [bench.pick(name) for name in ("chat", "embedding", None, "new")] == ["b"] * 4
    (fact,) = bench.told
    assert fact.whole
    assert fact.deployment is None


def test_an_http_fault_proves_that_the_backend_can_be_reached() -> None:
    bench = Bench("a b")
    bench.meet("a", REFUSED, REFUSED, FAULT, REFUSED, REFUSED)
    assert bench.pick() == "a"


def test_after_the_ejection_one_probe_goes_and_others_stay_away_until_it_tells() -> None:
    bench = Bench("a b")
    bench.meet("a", FAULT, FAULT, FAULT)
    bench.now += 10
    probe = bench.take("a")
    assert [bench.pick() for _ in range(5)] == ["b"] * 5
    bench.end(probe, RELAY)
    assert bench.pick() == "a"
    assert bench.facts() == [("Ejected", "a", 10.0), ("Restored", "a", 0.0)]


def test_a_probe_whose_client_left_makes_room_for_the_next() -> None:
    bench = Bench("a b")
    bench.meet("a", FAULT, FAULT, FAULT)
    bench.now += 10
    bench.pool.release(bench.take("a"))
    assert bench.pick() == "a"


def ejections(bench: Bench, fault: object, count: int) -> list[float]:
    bench.meet("a", fault, fault, fault)  # type: ignore[arg-type]
    for _ in range(count):
        until = bench.health("a").ejected_until()
        assert until is not None
        bench.now = until
        bench.meet("a", fault)  # type: ignore[arg-type]
    return [seconds for kind, _, seconds in bench.facts() if kind == "Ejected"]


@pytest.mark.parametrize("fault", [FAULT, REFUSED], ids=["5xx", "refused"])
def test_quick_faults_double_to_twenty_seconds(fault: object) -> None:
    assert ejections(Bench("a b"), fault, 4) == [10.0, 20.0, 20.0, 20.0, 20.0]


def test_silence_doubles_to_two_minutes() -> None:
    assert ejections(Bench("a b"), SILENCE, 6) == [10.0, 20.0, 40.0, 80.0, 120.0, 120.0, 120.0]


def test_a_quick_fault_after_silence_waits_no_longer_than_a_quick_fault() -> None:
    bench = Bench("a b")
    ejections(bench, SILENCE, 4)
    bench.now += 120
    bench.meet("a", FAULT)
    assert bench.facts() == [("Ejected", "a", 20.0)]


def test_a_success_makes_the_next_ejection_a_first_one() -> None:
    bench = Bench("a b")
    ejections(bench, FAULT, 3)
    bench.now += 20
    bench.succeed("a")
    bench.meet("a", FAULT, FAULT)
    assert bench.pick() == "a"
    bench.meet("a", FAULT)
    assert bench.facts()[-1] == ("Ejected", "a", 10.0)


def test_late_faults_of_attempts_from_before_do_not_prolong_an_ejection() -> None:
    bench = Bench("a b")
    late = [bench.take("a") for _ in range(10)]
    bench.meet("a", FAULT, FAULT, FAULT)
    for attempt in late:
        bench.now += 0.5
        bench.end(attempt, FAULT)
    bench.now = 1010.0
    assert bench.pick() == "a"
    assert bench.facts() == [("Ejected", "a", 10.0)]


def test_a_late_success_of_an_attempt_from_before_does_not_end_an_ejection() -> None:
    bench = Bench("a b")
    late = bench.take("a")
    bench.now += 1
    bench.meet("a", FAULT, FAULT, FAULT)
    bench.end(late, RELAY)
    assert bench.pick() == "b"


def test_when_only_ejections_stand_in_the_way_the_one_that_ends_soonest_is_tried() -> None:
    bench = Bench("a b c")
    for name in ("b", "a", "c"):
        bench.meet(name, FAULT, FAULT, FAULT)
        bench.now += 1
    assert [bench.pick(), bench.pick(tried="b"), bench.pick(tried="a b")] == ["b", "a", "c"]
    assert bench.pick(tried="a b c") is None


def test_what_is_tried_during_an_ejection_does_not_prolong_it_nor_is_it_told() -> None:
    bench = Bench("a")
    bench.meet("a", FAULT, FAULT, FAULT)
    for _ in range(9):
        bench.now += 1
        bench.meet("a", FAULT)
    assert bench.facts() == [("Ejected", "a", 10.0)]
    bench.now = 1010.0
    bench.meet("a", FAULT)
    assert bench.facts() == [("Ejected", "a", 20.0)]


def test_a_success_during_an_ejection_ends_it() -> None:
    bench = Bench("a b")
    for name in ("a", "b"):
        bench.meet(name, FAULT, FAULT, FAULT)
    bench.now += 1
    bench.succeed("a")
    assert bench.pick() == "a"


def test_with_others_throttled_the_ejected_are_tried_and_a_misconfigured_one_is_not() -> None:
    for fault, picked in ((FAULT, "a"), (REFUSED, "a"), (SILENCE, "a"), (NO_KEY, None)):
        bench = Bench("a b")
        bench.meet("a", fault, *([fault] * 2 if fault is not NO_KEY else []))
        bench.meet("b", asks(30))
        assert bench.pick() == picked


def test_with_others_throttled_one_request_at_a_time_tries_a_silent_backend() -> None:
    bench = Bench("a b")
    bench.meet("a", SILENCE, SILENCE, SILENCE)
    bench.meet("b", asks(30))
    probe = bench.begin()
    assert probe is not None
    assert (probe.backend.name, bench.pick()) == ("a", None)
    bench.end(probe, SILENCE)
    assert bench.facts()[-1] == ("Cooled", "b", 30.0)  # the ejection is not prolonged by what it was known for
    assert bench.pick() == "a"
    bench.succeed("a")
    assert bench.facts() == [("Restored", "a", 0.0)]
    assert [bench.take("a").backend.name for _ in range(3)] == ["a", "a", "a"]


def test_others_wait_a_short_while_for_what_the_probe_of_a_silent_backend_tells() -> None:
    bench = Bench("a b")
    bench.meet("a", SILENCE, SILENCE, SILENCE)
    bench.meet("b", asks(30))
    assert not bench.pool.awaits_trial(bench.now, "chat", set())
    probe = bench.begin()
    bench.now += 4.9
    assert bench.pool.awaits_trial(bench.now, "chat", set())
    assert not bench.pool.awaits_trial(bench.now, "chat", {"a"})
    bench.now += 0.2
    assert not bench.pool.awaits_trial(bench.now, "chat", set())
    assert probe is not None
    bench.end(probe, SILENCE)


def test_a_silent_backend_is_tried_again_once_nobody_is_throttled_any_more() -> None:
    bench = Bench("a b")
    bench.meet("b", asks(1))
    bench.now += 2
    bench.meet("a", SILENCE, SILENCE, SILENCE)
    bench.meet("b", FAULT, FAULT, FAULT)
    assert bench.pick(tried="b") == "a"


def test_the_wait_never_ends_before_a_silent_backend_may_be_asked_again() -> None:
    bench = Bench("a")
    late = [bench.take("a") for _ in range(3)]
    bench.meet("a", asks(2))
    for attempt in late:
        bench.end(attempt, SILENCE)
    assert bench.pool.soonest(bench.now, "chat") == 10.0


def test_a_refused_credential_ejects_at_once_and_is_told_once() -> None:
    bench = Bench("a b")
    bench.meet("a", NO_KEY)
    assert bench.pick() == "b"
    assert bench.pick("embedding") == "a"
    assert bench.told[0].misconfigured
    bench.facts()
    for seconds in (10, 20, 20):
        bench.now += seconds - 0.1
        assert bench.pick() == "b"
        bench.now += 0.2
        bench.meet("a", NO_KEY)
        assert bench.facts() == []
    bench.now += 20.1
    bench.succeed("a")
    assert bench.facts() == [("Restored", "a", 0.0)]
    assert bench.pick() == "a"


def test_a_misconfigured_backend_is_the_last_resort_among_the_ejected() -> None:
    bench = Bench("a b")
    bench.meet("a", NO_KEY)
    bench.now += 5
    bench.meet("b", FAULT, FAULT, FAULT)
    assert bench.pick() == "b"
    assert bench.pick(tried="b") == "a"


def test_being_tried_as_the_last_resort_does_not_keep_a_misconfigured_backend_out() -> None:
    bench = Bench("a")
    bench.meet("a", *[NO_KEY] * 20)
    bench.now += 10
    assert bench.health("a").breaker.admits(bench.now)


def test_a_probe_that_is_throttled_goes_from_one_absence_to_the_next() -> None:
    bench = Bench("a b")
    bench.meet("a", FAULT, FAULT, FAULT)
    bench.facts()
    bench.now += 10
    bench.meet("a", asks(7))
    assert bench.facts() == [("Cooled", "a", 7.0)]
    bench.now += 7
    assert bench.pick() == "a"
    assert bench.facts() == [("Restored", "a", 0.0)]


def test_others_wait_for_the_trials_of_an_ejected_backend_that_returns_when_nobody_else_is_left() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(1))
    bench.now += 2
    bench.meet("a", REFUSED, REFUSED, REFUSED)
    bench.meet("b", asks(30))
    trials = [bench.take("a"), bench.take("a")]
    assert bench.pick() is None
    assert bench.pool.awaits_trial(bench.now, "chat", set())
    bench.end(trials[0], RELAY)
    assert bench.pick() == "a"
