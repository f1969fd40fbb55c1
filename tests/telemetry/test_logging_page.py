"""docs/logging.md shows what is really written."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lb.balancing.backend import Backend
from lb.events import Attempted, Cooled, Event, Judged, Restored
from lb.telemetry.lines import LogLines

PAGE = (Path(__file__).parents[2] / "docs" / "logging.md").read_text()
TARGET = b"/openai/deployments/chat/chat/completions?api-version=2024-10-21"
THROTTLED = Backend("BACKEND_3", "https://openai3-abc.openai.azure.com")
ANSWERING = Backend("BACKEND_1", "https://openai1-abc.openai.azure.com")
REQUEST = "7b1e09c2f5a4-1"
STORY: list[Event] = [
    Attempted(REQUEST, THROTTLED, "chat", TARGET, 1),
    Judged(REQUEST, THROTTLED, "chat", 1, 429, "throttled", 0.038, "HTTP 429"),
    Cooled(THROTTLED, "chat", 7.0, "HTTP 429", REQUEST),
    Attempted(REQUEST, ANSWERING, "chat", TARGET, 2),
    Judged(REQUEST, ANSWERING, "chat", 2, 200, "relayed", 0.412),
    Restored(THROTTLED, "chat"),
]


def block(language: str) -> list[str]:
    found = re.search(rf"```{language}\n(.*?)\n```", PAGE, re.DOTALL)
    assert found is not None
    return found[1].split("\n")


@pytest.mark.parametrize(("form", "language", "events"), [("json", "json", STORY), ("console", "text", STORY[:3])])
def test_the_samples_are_what_is_written(
    open_stream: Callable[..., Any], form: str, language: str, events: list[Event]
) -> None:
    stream = open_stream(form=form, colour=False)
    emit = LogLines(stream.logs)
    for event in events:
        emit(event)
    skipped = 0 if form == "json" else len("10:13:19")  # the terminal's time is local
    assert [line[skipped:] for line in stream.lines()] == [line[skipped:] for line in block(language)]
