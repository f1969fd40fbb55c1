"""Tables from `/status` documents."""

import io
import re
from typing import Any

import pytest
from rich.console import Console, RenderableType

from lb.display import backends_table, span, totals


def row(**told: Any) -> dict[str, Any]:
    plain = {"name": "BACKEND_1", "deployment": "chat", "state": "available", "seconds_left": 0.0, "reason": ""}
    return plain | {"in_flight": 0, "served": 0, "throttled": 0, "faulted": 0, "out": False} | told


def document(*rows: dict[str, Any], **told: Any) -> dict[str, Any]:
    requests = {"finished": 1234, "outcomes": {"relayed": 1230, "exhausted": 4}, "throttled_absorbed": 87}
    plain = {"version": "0.1.0", "uptime_seconds": 192.0, "draining": False, "policy": "least-loaded"}
    return plain | {"connections": 1, "requests": requests, "waiting": 0, "backends": list(rows)} | told


def printed(what: RenderableType, width: int = 120) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(what)
    return file.getvalue()


def test_a_cooling_backend_shows_its_countdown() -> None:
    text = printed(backends_table(document(row(state="cooling", seconds_left=6.25, reason="429"))))
    assert "cooling   6.2 s" in text


def test_shares_are_parts_of_all_that_was_served() -> None:
    text = printed(backends_table(document(row(served=30), row(name="BACKEND_2", served=10))))
    assert re.findall(r"\d+%", text) == ["75%", "25%"]


def test_nothing_served_is_no_share_of_anything() -> None:
    assert "0%" in printed(backends_table(document(row(deployment=None))), 80)


def test_the_reason_is_shown_where_there_is_room() -> None:
    status = document(row(state="ejected", seconds_left=12, reason="connection refused"))
    assert "connection refused" in printed(backends_table(status, width=160), 160)
    assert "connection refused" not in printed(backends_table(status, width=80), 80)


def test_everything_fits_eighty_columns() -> None:
    status = document(row(deployment="embedding", state="cooling", seconds_left=118, served=123456, throttled=1234))
    text = printed(backends_table(status, width=80), 80)
    assert "…" not in text
    assert "cooling   118 s" in text


def test_other_names_may_stand_for_the_backends_own() -> None:
    assert "openai1" in printed(backends_table(document(row()), names={"BACKEND_1": "openai1"}))


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    assert "[red]x" in printed(backends_table(document(row(name="[red]x", deployment="[/]"))))


def test_the_totals_are_one_line() -> None:
    assert str(totals(document())) == (
        "lb 0.1.0 · up 3 min 12 s · least-loaded · 1 connection · "
        "1,234 requests (4 exhausted, 1,230 relayed) · 87 429s absorbed"
    )


def test_a_draining_balancer_says_so_first() -> None:
    assert printed(totals(document(draining=True))).startswith("draining · lb 0.1.0")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7800, "2 h 10 min"),
        (356_400, "4 d 3 h"),
    ],
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_backend_that_an_operator_took_out_is_shown_as_that() -> None:
    text = printed(backends_table(document(row(out=True, state="cooling", seconds_left=6.25))))
    assert "taken out" in text
    assert "cooling" not in text


def test_requests_that_wait_are_counted_where_there_are_some() -> None:
    assert str(totals(document(waiting=3))).endswith("absorbed · 3 waiting")
