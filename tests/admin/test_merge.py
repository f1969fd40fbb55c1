"""One `/status` out of those of several workers."""

from typing import Any

from lb.admin.merge import left_behind, merged


def row(deployment: str | None = "chat", state: str = "available", **more: Any) -> dict[str, Any]:
    return {
        "name": "BACKEND_1",
        "url": "https://one",
        "priority": 1,
        "weight": 1,
        "deployment": deployment,
        "state": state,
        "seconds_left": 0.0,
        "reason": "",
        "strikes": 0,
        "in_flight": 0,
        "served": 0,
        "throttled": 0,
        "faulted": 0,
        "headroom": None,
        "out": False,
        **more,
    }


def document(*rows: dict[str, Any], finished: int = 0, connections: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "version": "1",
        "uptime_seconds": 5.0,
        "draining": False,
        "policy": "least-loaded",
        "connections": connections,
        "requests": {"finished": finished, "outcomes": {"relayed": finished} if finished else {}},
        "waiting": 0,
        "backends": list(rows),
        "rates": rates(),
        "tenants": [],
        "recent": [],
        **more,
    }


def rates(
    last_step: int = 7, requests: tuple[int, ...] = (0, 0, 0), tokens: tuple[int, ...] | None = None
) -> dict[str, Any]:
    row = {"name": "BACKEND_1", "requests": list(requests), "tokens": None if tokens is None else list(tokens)}
    return {"step_seconds": 5, "last_step": last_step, "backends": [row]}


def asked(name: str, at: float, outcome: str = "relayed", attempts: int = 1) -> dict[str, Any]:
    return {"request_id": name, "at": at, "outcome": outcome, "status": 200, "attempts": [{}] * attempts}


def test_counts_are_added_up() -> None:
    found = merged(
        [
            document(row(served=3, in_flight=1), finished=4, connections=2),
            document(row(served=4, in_flight=2), row("embedding", served=1), finished=5, connections=3),
            document(row(None)),
        ]
    )
    assert found["requests"] == {"finished": 9, "outcomes": {"relayed": 9}}
    assert found["connections"] == 5
    assert [(one["deployment"], one["served"], one["in_flight"]) for one in found["backends"]] == [
        ("chat", 7, 3),
        ("embedding", 1, 0),
    ]


def test_one_alone_is_shown_as_it_is() -> None:
    alone = document(row(served=3), finished=4, connections=2)
    assert merged([alone]) == alone


def test_who_knows_of_an_absence_is_right() -> None:
    cooling = row(state="cooling", seconds_left=6.9, reason="HTTP 429", strikes=1)
    for rows in ((cooling, row()), (row(), cooling)):
        (found,) = merged([document(one) for one in rows])["backends"]
        assert (found["state"], found["seconds_left"], found["reason"], found["strikes"]) == (
            "cooling",
            6.9,
            "HTTP 429",
            1,
        )


def test_the_smallest_headroom_counts() -> None:
    (found,) = merged([document(row(headroom=0.7)), document(row(headroom=0.2)), document(row())])["backends"]
    assert found["headroom"] == 0.2


def test_all_drain_when_one_does() -> None:
    assert merged([document(), document(draining=True)])["draining"]


def test_what_a_dead_worker_counted_still_counts_and_nothing_else_of_it() -> None:
    dead = document(row(state="cooling", seconds_left=9.0, served=5, in_flight=3), finished=5, connections=7)
    found = merged([document(row(served=1), finished=1, connections=1)], [left_behind(dead)])
    assert found["requests"]["finished"] == 6
    assert found["connections"] == 1
    (one,) = found["backends"]
    assert (one["state"], one["served"], one["in_flight"]) == ("available", 6, 0)


def test_a_deployment_that_only_the_dead_worker_met_is_shown() -> None:
    dead = left_behind(document(row("embedding", state="ejected", served=5)))
    found = merged([document(row(None))], [dead])
    assert [(one["deployment"], one["state"], one["served"]) for one in found["backends"]] == [
        ("embedding", "available", 5)
    ]


def test_a_backend_that_was_taken_out_of_the_configuration_is_not_shown_for_the_dead() -> None:
    dead = left_behind(document(row("embedding", served=5), finished=5))
    elsewhere = {**row("chat"), "name": "BACKEND_2", "url": "https://two"}
    found = merged([document(elsewhere)], [dead])
    assert [one["name"] for one in found["backends"]] == ["BACKEND_2"]
    assert found["requests"]["finished"] == 5


def test_steps_are_added_up_where_they_fall_together() -> None:
    parts = [rates(7, (1, 2, 3), (10, 20, 30)), rates(6, (4, 5, 6)), rates(-1)]
    found = merged([document(row(), rates=part) for part in parts])["rates"]
    assert found["last_step"] == 7
    assert found["backends"] == [{"name": "BACKEND_1", "requests": [6, 8, 3], "tokens": [10, 20, 30]}]


def test_tokens_that_nobody_counts_are_unknown() -> None:
    found = merged([document(row(), rates=rates()), document(row(), rates=rates())])["rates"]
    assert found["backends"][0]["tokens"] is None


def test_budgets_are_shared_and_what_waits_adds_up() -> None:
    tenants = [{"name": "ada", "waiting": waiting, "budgets": [{"used": 5}]} for waiting in (2, 3)]
    found = merged([document(waiting=count, tenants=[tenant]) for count, tenant in zip((2, 3), tenants, strict=True)])
    assert found["waiting"] == 5
    assert found["tenants"] == [{"name": "ada", "waiting": 5, "budgets": [{"used": 5}]}]


def test_the_last_requests_are_those_of_all_newest_first() -> None:
    one = document(recent=[asked("d", 4.0), asked("a", 1.0)])
    dead = left_behind(document(recent=[asked("c", 3.0, "exhausted"), asked("b", 2.0)]))
    assert [entry["request_id"] for entry in merged([one], [dead])["recent"]] == ["d", "c", "b", "a"]


def test_many_plain_requests_of_one_worker_do_not_push_out_the_failovers_of_another() -> None:
    plain = document(recent=[asked(f"p{number}", 1000.0 - number) for number in range(100)])
    failovers = document(recent=[asked(f"f{number}", 500.0 - number, attempts=2) for number in range(100)])
    found = merged([plain, plain, failovers])["recent"]
    assert sum(len(entry["attempts"]) == 2 for entry in found) == 100
    assert len(found) == 200
