"""What is drawn, and where only lines are written."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from lb.demo.journal import Line
from lb.demo.screen import LiveScreen, PlainScreen, Scene, screen

ROW = {
    "name": "BACKEND_1",
    "deployment": "chat",
    "state": "cooling",
    "seconds_left": 1.6,
    "reason": "429",
    "in_flight": 2,
    "served": 3,
    "throttled": 1,
    "faulted": 0,
    "out": False,
}
STATUS = {"backends": [ROW, {**ROW, "name": "BACKEND_2", "state": "available", "seconds_left": 0, "reason": ""}]}


def paper(width: int = 100, height: int = 30, **options: Any) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, _environ={"TERM": "xterm-256color"}, **options)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("console", "kind"),
    [
        (paper(force_terminal=True), LiveScreen),
        (paper(force_terminal=True, no_color=True), LiveScreen),
        (paper(79, force_terminal=True), PlainScreen),
        (paper(force_terminal=True, color_system=None), PlainScreen),
        (paper(), PlainScreen),
        (Console(file=io.StringIO(), width=100, force_terminal=True, _environ={"TERM": "dumb"}), PlainScreen),
    ],
    ids=["terminal", "NO_COLOR", "narrow", "without colours", "no terminal", "dumb"],
)
def test_the_picture_is_drawn_only_where_it_can_be(console: Console, kind: type) -> None:
    assert isinstance(screen(console), kind)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 12)])
def test_the_picture_fits_the_terminal(width: int, height: int) -> None:
    console = paper(width, height, force_terminal=True, color_system=None)
    view = LiveScreen(console)
    with view:
        view.told([Line("Proxying to http://127.0.0.1:1/" + "x" * 300, backend="BACKEND_1", note="429")] * 20)
        view.draw(Scene("sending", "http://127.0.0.1:8080", 3.0, 12.0, STATUS))
    lines = re.split(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n", text(console))
    assert max(map(len, lines)) <= width
    assert any("openai1 429 " in line and "Proxying to" in line for line in lines)
    assert any("cooling     1.6 s" in line or "cooling   1.6 s" in line for line in lines)
    assert "0 requests answered" in text(console)


def test_plain_lines_are_the_logs_own_with_what_came_of_them() -> None:
    console = paper(40)
    with screen(console) as view:
        view.told([Line("Proxying to http://127.0.0.1:1/openai/deployments/chat/chat/completions", note="429")])
    assert text(console) == "Proxying to http://127.0.0.1:1/openai/deployments/chat/chat/completions  [429]\n"


def test_plain_progress_is_told_every_other_second() -> None:
    console = paper()
    view = PlainScreen(console)
    for tenth in range(50):
        view.draw(Scene("sending", seconds=tenth / 10))
    assert text(console).splitlines() == [
        "-- sending",
        "-- 2 s: 0 requests answered, 0 429s absorbed, 0 errors seen by the client",
        "-- 4 s: 0 requests answered, 0 429s absorbed, 0 errors seen by the client",
    ]
