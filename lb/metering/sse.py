"""A server-sent event reader without IO: bytes in at any split, complete events out, bounded.

Rules: the event stream format of the WHATWG HTML standard, section 9.2.6 (lines end in CR, LF or CRLF; a blank line
ends an event; several `data` lines are joined by LF; a leading byte order mark is skipped).
"""

import re
from typing import NamedTuple

_LINE_END = re.compile(rb"[\r\n]")


class Event(NamedTuple):
    """One event: its `event` field (empty when not given) and its data."""

    name: str
    data: bytes


class EventReader:
    """Feed it what arrives; an event larger than `limit` bytes raises ValueError, since it may never end."""

    __slots__ = ("_buffer", "_data", "_fresh", "_limit", "_name", "_searched", "_size", "_skip_lf")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0
        self._skip_lf = False
        self._fresh = True

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that `chunk` completes. A line ends at its CR; an LF behind it is swallowed later."""
        events: list[Event] = []
        self._buffer += chunk
        start = 0
        for end in [found.start() for found in _LINE_END.finditer(self._buffer, self._searched)]:
            if self._skip_lf and start == end and self._buffer[end] == 0x0A:
                self._skip_lf = False
            else:
                self._skip_lf = self._buffer[end] == 0x0D
                self._line(bytes(self._buffer[start:end]), events)
            start = end + 1
        del self._buffer[:start]
        self._searched = len(self._buffer)
        if self._size + len(self._buffer) > self._limit:
            raise ValueError(f"a server-sent event is larger than {self._limit} bytes")
        return events

    def end(self) -> list[Event]:
        """The stream is over: return the event that lacks its blank line, if there is one.

        The standard drops it, but what a backend said last should not depend on two bytes.
        """
        return self.feed(b"\n\n")

    def _line(self, line: bytes, events: list[Event]) -> None:
        if self._fresh:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._fresh = False
        if not line:
            if self._data:
                events.append(Event(self._name, b"\n".join(self._data)))
            self._data, self._name, self._size = [], "", 0
            return
        self._size += len(line)
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
