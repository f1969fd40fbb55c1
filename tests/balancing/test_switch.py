"""The operator's switch and the operator's word that an absence is over: beside what the machine believes."""

import pytest
from table import FAULT, REFUSED, Bench, asks

from lb.balancing.backend import Backend
from lb.balancing.transitions import Recalled, Restored, Switched
from lb.balancing.verdict import RELAY


def test_who_is_taken_out_finishes_what_it_has_and_gets_nothing_new() -> None:
    bench = Bench()
    running = bench.take("a")
    assert bench.pool.switch(bench.now, "a", "ada", out=True)
    assert bench.pick() == "b"
    assert bench.pick("embedding") == "b"
    bench.end(running, RELAY)
    assert running.health.in_flight == 0
    assert running.health.served == 1


def test_who_is_put_back_gets_requests_again() -> None:
    bench = Bench()
    bench.pool.switch(bench.now, "a", "ada", out=True)
    bench.pool.switch(bench.now, "a", "bob", out=False)
    assert bench.pick() == "a"
    assert bench.told == [Switched(bench.pool.backends[0], True, "ada"), Switched(bench.pool.backends[0], False, "bob")]


def test_the_same_word_twice_is_told_once() -> None:
    bench = Bench()
    assert bench.pool.switch(bench.now, "a", "ada", out=True)
    assert not bench.pool.switch(bench.now, "a", "ada", out=True)
    assert not bench.pool.switch(bench.now, "nobody", "ada", out=True)
    assert len(bench.told) == 1


def test_nothing_that_a_backend_does_moves_the_switch() -> None:
    bench = Bench()
    strays = [bench.take("a") for _ in range(3)]
    bench.pool.switch(bench.now, "a", "ada", out=True)
    for stray, verdict in zip(strays, (RELAY, asks(7), FAULT), strict=True):
        bench.end(stray, verdict)
    bench.now += 100
    bench.pool.tick(bench.now)
    assert bench.pick() == "b"


def test_a_switched_backend_keeps_its_belief() -> None:
    bench = Bench()
    bench.meet("a", asks(7))
    bench.pool.switch(bench.now, "a", "ada", out=True)
    (row,) = [row for row in bench.pool.snapshot(bench.now) if row.backend.name == "a"]
    assert (row.out, row.state, row.seconds) == (True, "cooling", 7)


def test_the_switch_outlives_a_reload_and_ends_with_the_address() -> None:
    bench = Bench()
    policy = bench.pool._policy
    bench.pool.switch(bench.now, "a", "ada", out=True)
    bench.pool.replace([Backend("a", "https://a", weight=7), Backend("b", "https://b")], policy)
    assert bench.pick() == "b"
    bench.pool.replace([Backend("a", "https://elsewhere"), Backend("b", "https://b", priority=2)], policy)
    assert bench.pick() == "a"


def test_with_all_taken_out_nobody_is_asked_and_nobody_is_waited_for() -> None:
    bench = Bench()
    bench.meet("a", asks(7))
    for name in "ab":
        bench.pool.switch(bench.now, name, "ada", out=True)
    assert bench.pick() is None
    assert bench.pool.soonest(bench.now, "chat") is None
    assert bench.pool.taken_out("chat") == ["a", "b"]
    assert bench.pool.serving("chat")


def test_an_ended_cooldown_comes_back_by_two_requests() -> None:
    bench = Bench()
    bench.meet("a", asks(60))
    assert bench.pool.recall(bench.now, "a", "chat", "ada")
    first, second = bench.take("a"), bench.take("a")
    assert bench.pick() == "b"
    bench.end(first, RELAY)
    bench.end(second, RELAY)
    assert bench.pick() == "a"
    assert bench.told[1:] == [
        Recalled(bench.pool.backends[0], "chat", "ada"),
        Restored(bench.pool.backends[0], "chat"),
    ]


def test_a_cooldown_after_an_ended_one_holds() -> None:
    bench = Bench()
    bench.meet("a", asks(60))
    bench.pool.recall(bench.now, "a", "chat", "ada")
    bench.now += 1
    bench.meet("a", asks(5))
    assert bench.pool.soonest(bench.now, "chat") == 5


@pytest.mark.parametrize("fault", [FAULT, REFUSED])
def test_an_ended_ejection_is_probed_at_once(fault) -> None:  # type: ignore[no-untyped-def]
    bench = Bench()
    bench.meet("a", fault, fault, fault)
    assert bench.pick() == "b"
    assert bench.pool.recall(bench.now, "a", "chat", "ada")
    probe = bench.take("a")
    assert bench.pick() == "b"
    bench.end(probe, RELAY)
    assert bench.pick() == "a"


def test_there_is_nothing_to_end_where_nothing_keeps_it_away() -> None:
    bench = Bench()
    bench.succeed("a")
    assert not bench.pool.recall(bench.now, "a", "chat", "ada")
    assert not bench.pool.recall(bench.now, "a", "unheard-of", "ada")
    assert bench.told == []
