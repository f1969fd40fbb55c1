"""The table keeps what it believes through a reload, and stays small whatever callers ask for."""

import pytest
from table import FAULT, Bench, asks

from lb.balancing import table as table_module
from lb.balancing.backend import Backend
from lb.balancing.policy import least_loaded, round_robin
from lb.balancing.pool import Pool
from lb.balancing.verdict import RELAY, Misconfigured

NO_DEPLOYMENT = Misconfigured("DeploymentNotFound")


def size(pool: Pool) -> int:
    return len(pool._table.cells)


def test_a_reload_keeps_what_is_believed_of_a_backend_that_stays() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    bench.pool.replace(
        [Backend("a", "https://a", priority=5, weight=3), Backend("c", "https://c", priority=9)], round_robin
    )
    assert bench.pick() == "c"
    assert bench.pool.soonest(bench.now, "chat") == 7.0
    bench.now += 7
    assert bench.pick() == "a"


def test_a_reload_forgets_a_backend_whose_address_changed() -> None:
    bench = Bench("a b")
    bench.meet("a", asks(7))
    bench.pool.replace([Backend("a", "https://elsewhere"), Backend("b", "https://b", priority=2)], least_loaded)
    assert bench.pick() == "a"


def test_a_permit_from_before_a_reload_is_learned_from_and_returned() -> None:
    bench = Bench("a b")
    gone, stays = bench.take("a"), bench.take("b")
    bench.pool.replace([Backend("b", "https://b")], least_loaded)
    bench.end(gone, asks(7))
    bench.end(stays, asks(7))
    assert bench.begin() is None
    assert [row.in_flight for row in bench.pool.snapshot(bench.now)] == [0]
    bench.facts()
    bench.now += 8
    bench.pool.expire(bench.now)
    assert bench.facts() == [("Restored", "b", 0.0)]


def test_a_reload_that_maps_deployments_is_in_force_at_once() -> None:
    bench = Bench("a b")
    assert bench.pick("chat") == "a"
    bench.pool.replace([Backend("a", "https://a", deployments={"other": "x"}), Backend("b", "https://b")], least_loaded)
    assert bench.pick("chat") == "b"
    assert bench.pick("other") == "a"
    assert bench.pool.served() == ["other"]
    assert bench.pool.serving("anything")
    bench.pool.replace([Backend("a", "https://a", deployments={"other": "x"})], least_loaded)
    assert not bench.pool.serving("chat")
    assert bench.pool.serving(None)


def test_no_number_of_invented_names_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MAX_CELLS", 50)
    bench = Bench("a b")
    for number in range(1000):
        for name in ("a", "b"):
            bench.meet(name, NO_DEPLOYMENT, deployment=f"invented-{number}")
        assert size(bench.pool) <= 50
        assert len(bench.pool._table._lanes) <= 50


def test_the_table_is_bounded_even_when_everything_in_it_cools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MAX_CELLS", 50)
    bench = Bench("a")
    for number in range(500):
        bench.meet("a", asks(100), deployment=f"d-{number}")
        assert size(bench.pool) <= 50


def test_a_real_deployment_keeps_its_state_while_names_are_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MAX_CELLS", 50)
    bench = Bench("a b")
    bench.succeed("a")
    bench.meet("a", asks(100))
    bench.meet("a", FAULT, FAULT, FAULT, deployment="embedding")
    running = bench.take("a", "images")
    for number in range(500):
        bench.meet("b", NO_DEPLOYMENT, deployment=f"invented-{number}")
    assert bench.pick("chat") == "b"
    assert bench.pick("embedding") == "b"
    assert bench.health("a", "images").in_flight == 1
    bench.pool.release(running)
    assert bench.health("a", "images").in_flight == 0


def test_the_snapshot_says_in_words_how_each_backend_is_doing() -> None:
    bench = Bench("available cooling ejected probation misconfigured returning unasked")
    bench.succeed("available")
    bench.meet("returning", asks(1))
    bench.meet("probation", FAULT, FAULT, FAULT)
    bench.now += 12
    bench.meet("cooling", asks(7))
    bench.meet("ejected", FAULT, FAULT, FAULT)
    bench.meet("misconfigured", NO_DEPLOYMENT)
    rows = {row.backend.name: row for row in bench.pool.snapshot(bench.now + 2)}
    assert {name: row.state for name, row in rows.items()} == {**{name: name for name in rows}, "unasked": "available"}
    assert {name: row.seconds for name, row in rows.items() if row.seconds} == {
        "cooling": 5.0,
        "ejected": 8.0,
        "misconfigured": 8.0,
    }
    assert rows["cooling"].reason == "HTTP 429"
    assert rows["ejected"].strikes == 3
    assert rows["available"].served == 1


def test_a_permit_that_is_returned_twice_counts_once() -> None:
    bench = Bench("a")
    attempt, other = bench.take("a"), bench.take("a")
    bench.pool.learn(bench.now, attempt, RELAY)
    bench.pool.release(attempt)
    bench.pool.release(attempt)
    assert bench.health("a").in_flight == 1
    bench.pool.release(other)
    assert bench.health("a").in_flight == 0
