"""Takes the chunk that only carries the usage out of a chat stream, without IO. Every other byte stays, in its order.

An event is let go as soon as it is whole; what no reader could act on before that is held back: its beginning.
"""

import json
import re
from typing import Final

from lb.metering.tail import KEY

HELD: Final = 8 * 1024
"""Bytes of one event that are held back; a larger one is let go, since the chunk that is meant is small."""
_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_CHOICES: Final = b'"choices"'


class Withheld:
    """Feed it the stream in any pieces; what it returns is the stream without that chunk."""

    __slots__ = ("_drop_lf", "_held", "_open")

    def __init__(self) -> None:
        self._held = b""
        """The beginning of an event."""
        self._open = False
        """The beginning of this event was too large, and has been let go."""
        self._drop_lf = False
        """The chunk was taken out up to a CR: an LF that follows belongs to it."""

    def feed(self, piece: bytes) -> bytes:
        """Returns what may go out."""
        if self._drop_lf and piece:
            self._drop_lf = False
            piece = piece.removeprefix(b"\n")
        text = self._held + piece
        start, kept = 0, []
        for end in [found.end() for found in _BLANK_LINE.finditer(text)]:
            kept.append(self._without(text[start:end]))
            start = end
        self._held = text[start:]
        if start:
            self._drop_lf = self._drop_lf and not self._held
        if self._open or len(self._held) > HELD:
            self._open = True
            rest = self._held.rstrip(b"\r\n")  # a line end may be the first half of the blank line
            kept.append(rest)
            self._held = self._held[len(rest) :]
        return b"".join(kept)

    def end(self) -> bytes:
        """The stream is over: the rest of what may go out. A last event may lack its blank line."""
        rest, self._held = self._held, b""
        return rest if self._open else self._without(rest)

    def _without(self, event: bytes) -> bytes:
        """The event, or what stands before it where it is the one."""
        self._drop_lf = False
        if self._open:
            self._open = False
            return event
        if KEY not in event or _CHOICES not in event or not _only_tells_usage(event):
            return event
        self._drop_lf = event.endswith(b"\r")
        return event[: len(event) - len(event.lstrip(b"\r\n"))]


def _only_tells_usage(event: bytes) -> bool:
    lines = _LINE_END.split(event)
    data = b"\n".join([line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")])
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.get("choices") == [] and isinstance(told.get("usage"), dict)
