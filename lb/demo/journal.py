"""The balancer's log stream, read as any log reader would, and thinned out to what eyes can follow.

Pure: the moment is a parameter. A request's lines are kept until its last attempt is answered, so that a failover is
shown as the story that it is: tried here, refused, tried there.
"""

import json
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

PROXYING = "Proxying to "
TRANSITIONS = ("Destination ", "All backends are throttled")
MOST_OPEN = 512
IN_STREAM = "429 sse"
"""A refusal that came as an event of a stream, under status 200."""
_STATUS = re.compile(r"Received response (\d+)")


@dataclass(slots=True)
class Line:
    """One line to be shown: its text as it stands in the log, and what else the log says about it."""

    text: str
    level: str = "info"
    backend: str | None = None
    note: str = ""
    """What came of the attempt that the line tells about; of a transition, the deployment."""


class Rate:
    """Lets so many pass per second, and at most `burst` at once."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = burst
        self._at: float | None = None

    def lets(self, now: float) -> bool:
        """May one pass at `now`, in seconds of a clock that only goes forward?"""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Journal:
    """Give it every line of the log; it gives back those to be shown."""

    def __init__(self, failovers: float = 1.5, plain: float = 1.0) -> None:
        self.lines = 0
        self._open: OrderedDict[str, list[Line]] = OrderedDict()
        self._failovers = Rate(failovers, 2)
        self._plain = Rate(plain, 1)

    def hear(self, raw: str, now: float) -> list[Line]:
        """Take in one line of the stream."""
        entry = _entry(raw)
        if entry is None:
            return []
        self.lines += 1
        text = str(entry.get("event", ""))
        request = str(entry.get("request_id", ""))
        if text.startswith(PROXYING):
            self._begin(request, Line(text, backend=entry.get("backend")))
            return []
        if "verdict" in entry:
            return self._judged(request, entry, text, now)
        level = str(entry.get("level", "info"))
        if "marked as unhealthy" in text and request in self._open:
            self._open[request].append(Line(text, level, entry.get("backend"), str(entry.get("deployment", ""))))
            return []
        if text.startswith(TRANSITIONS) or level in ("error", "critical"):
            return [Line(text, level, entry.get("backend"), str(entry.get("deployment", "")))]
        return []

    def _begin(self, request: str, line: Line) -> None:
        self._open.setdefault(request, []).append(line)
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)

    def _judged(self, request: str, entry: dict[str, Any], text: str, now: float) -> list[Line]:
        story = self._open.get(request)
        if not story:
            return []
        _last_try(story).note = _came(text, str(entry["verdict"]))
        if entry["verdict"] != "relayed":
            return []
        del self._open[request]
        if any(not line.text.startswith(PROXYING) for line in story):
            return story  # it tells of a transition
        rate = self._failovers if len(story) > 1 else self._plain
        return story if rate.lets(now) else []


def _last_try(story: list[Line]) -> Line:
    return next(line for line in reversed(story) if line.text.startswith(PROXYING))


def _came(text: str, verdict: str) -> str:
    match = _STATUS.match(text)
    if match is None:
        return "none"
    return IN_STREAM if match[1] == "200" and verdict == "throttled" else match[1]


def _entry(raw: str) -> dict[str, Any] | None:
    if not raw.startswith("{"):
        return None
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
