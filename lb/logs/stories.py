"""Lines of many requests at once become one story for each. Pure: time is what the lines say.

A story is told when its end is known: an answer that was relayed, or none that could be. Where nothing says so, it is
told after a while without a word.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from lb.logs.entries import Entry

MOST_OPEN = 4096
"""Requests that may be under way; beyond that the oldest is told as far as it is known."""
MOST_ATTEMPTS = 64
SILENT_SECONDS = 5.0
"""After a failed attempt: longer than a request waits for the trial of a returning backend."""
_STATUS = re.compile(r"Received response (\d{3})")
_LEFT_ALONE = "marked as unhealthy"
_ENDS = (
    "All backends are throttled",
    "A tenant's quota",
    "Response cut",
    "Request cut",
    "Request crashed",
    "Request ended",
)


@dataclass(slots=True)
class Try:
    """One attempt; without a verdict it still runs."""

    backend: str
    deployment: str
    status: int | None = None
    verdict: str = ""
    ms: int | None = None
    detail: str = ""
    left_alone: float | None = None
    """Seconds for which the backend gets nothing because of it."""


@dataclass(slots=True)
class Story:
    """What happened to one request."""

    request_id: str
    timestamp: str
    """Of its first line."""
    tries: list[Try] = field(default_factory=list)
    end: str = ""
    """Where it did not end with an answer that was relayed: how."""
    at: float = 0.0
    """Of its latest line, in seconds."""

    @property
    def relayed(self) -> bool:
        return bool(self.tries) and self.tries[-1].verdict == "relayed" and not self.end

    @property
    def plain(self) -> bool:
        """Did it go straight through?"""
        return self.relayed and len(self.tries) == 1 and (self.tries[0].status or 0) < 400

    @property
    def waits(self) -> bool:
        """Is an attempt under way?"""
        return bool(self.tries) and not self.tries[-1].verdict


Told = Story | Entry
"""A request's story, or a line that belongs to none."""


class Stories:
    """Give it every line; it gives back what can be told."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Story] = OrderedDict()

    def hear(self, entry: Entry) -> Iterator[Told]:
        """Take in one of our lines."""
        at = _seconds(str(entry.get("timestamp", "")))
        yield from self._silent(at)
        request_id = entry.get("request_id")
        told = self._heard(str(request_id), entry, at) if request_id is not None else entry
        if told is not None:
            yield told
        if len(self._open) > MOST_OPEN:
            yield self._open.popitem(last=False)[1]

    def quiet(self) -> Iterator[Told]:
        """No line has come for a while: who waits for nothing will not be heard of again."""
        yield from self._close([story for story in self._open.values() if not story.waits])

    def close(self) -> Iterator[Told]:
        """The stream has ended."""
        yield from self._close(list(self._open.values()))

    def _heard(self, request_id: str, entry: Entry, at: float) -> Told | None:
        text = str(entry["event"])
        story = self._open.get(request_id)
        if text.startswith("Proxying to "):
            self._begin(request_id, entry).at = at
            return None
        if "verdict" in entry:
            story = story or self._begin(request_id, entry)
            _judged(story, entry, text)
            story.at = at
            return self._open.pop(request_id) if story.tries[-1].verdict == "relayed" else None
        if story is None:
            return self._end(Story(request_id, str(entry.get("timestamp", ""))), entry) if _ends(text) else entry
        if _LEFT_ALONE in text and story.tries:
            story.tries[-1].left_alone = _number(entry.get("seconds"))
            return entry if entry.get("level") == "error" else None
        return self._end(self._open.pop(request_id), entry) if _ends(text) else entry

    def _begin(self, request_id: str, entry: Entry) -> Story:
        story = self._open.get(request_id)
        if story is None:
            story = self._open[request_id] = Story(request_id, str(entry.get("timestamp", "")))
        if len(story.tries) < MOST_ATTEMPTS:
            story.tries.append(Try(str(entry.get("backend", "?")), str(entry.get("deployment") or "")))
        return story

    def _end(self, story: Story, entry: Entry) -> Story:
        wait = entry.get("retry_after")
        story.end = str(entry["event"]) + (f", retry after {wait} s" if wait is not None else "")
        return story

    def _silent(self, at: float) -> Iterator[Told]:
        """Those that failed and were not heard of since. The open ones stand in the order in which they began."""
        late = [s for s in self._open.values() if not s.waits and 0 < s.at < at - SILENT_SECONDS]
        yield from self._close(late)

    def _close(self, stories: Iterable[Story]) -> Iterator[Told]:
        for story in stories:
            del self._open[story.request_id]
            story.end = "the stream ends here" if story.waits else "no backend was left"
            yield story


def _judged(story: Story, entry: Entry, text: str) -> None:
    last = story.tries[-1]
    if last.verdict:  # its beginning is not in the stream
        last = Try(str(entry.get("backend", "?")), str(entry.get("deployment") or ""))
        story.tries.append(last)
    match = _STATUS.match(text)
    last.status = int(match[1]) if match else None
    last.verdict, last.detail = str(entry["verdict"]), str(entry.get("detail") or "")
    last.ms = int(_number(entry.get("ms")) or 0)


def _ends(text: str) -> bool:
    return text.startswith(_ENDS)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _seconds(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0
