"""Reads the usage from an event stream, and counts the text that went by, for when there is none.

Made to cost little: pieces gather up to a few kilobytes, and in a block of events that are all alike only the texts are
looked for. A block that is unlike that - the first, the last, anything odd - is read event by event.
"""

import json
import re
from typing import Any, Final

from lb.metering.deltas import adopt, texts_of
from lb.metering.estimate import Count, rough
from lb.metering.sse import EventReader
from lb.metering.tail import KEY, Tail
from lb.metering.usage import Usage, read_usage

BLOCK: Final = 8 * 1024
"""Bytes that gather before they are looked at."""
EVENT_MAX: Final = 64 * 1024
"""Bytes of one event that are held; of a larger one, such as a response that repeats a long answer, only its end."""
BATCH: Final = 4096
"""Bytes of text that are counted at once."""
KEPT: Final = 256 * 1024
"""Characters of text that are kept for a tokenizer; what is longer is counted by its beginning."""
NOTHING_ALIKE: Final = (b"\n\n\n", b"\n")
"""No event begins so."""
_INSIDE: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
"""Of JSON strings."""
_NULL: Final = b'"usage":null'
_ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r")
"""An event is over; other mixtures are found with the next one of these."""


class StreamReader:
    """Feed it a body of server-sent events, in any pieces.

    `keep` keeps the text, so that a tokenizer can count it when the stream is over.
    """

    __slots__ = (
        "_batch",
        "_buffer",
        "_characters",
        "_count",
        "_frame",
        "_gathered",
        "_kept",
        "_room",
        "_size",
        "_tail",
        "_texts",
        "_tokens",
        "_told",
    )  # fmt: skip

    def __init__(self, count: Count = rough, *, keep: bool = False) -> None:
        self._count = count
        self._gathered: list[bytes] = []
        self._room = BLOCK
        self._buffer = b""
        """The beginning of an event whose end has not come."""
        self._tail: Tail | None = None
        """Reads the event that is too large to be held."""
        self._texts = adopt(b'"content":"')
        """Finds the texts in this stream's events."""
        self._frame = NOTHING_ALIKE
        """What stood before and behind the text in the last of them."""
        self._told: Usage | None = None
        self._batch: list[bytes] = []
        self._size = 0
        self._tokens = 0
        self._kept: list[str] | None = [] if keep else None
        self._characters = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._gathered.append(piece)
        self._room -= len(piece)
        if self._room <= 0:
            self._look()

    def reported(self) -> Usage | None:
        """The last usage that was told. A backend that reports as it goes has told the cost so far."""
        self._look()
        if self._tail is not None:
            self._over(self._tail)
        rest, self._buffer = self._buffer, b""
        for event in _split(_plain(rest)):
            self._parse(event)  # it may lack its end, and then it does not count: no client can read it either
        return self._told

    def counted(self, count: Count | None = None) -> int | None:
        """Tokens of the text so far, by the count that was given at the start or by this one."""
        self._look()
        self._settle()
        if count is None:
            return self._tokens
        if self._kept is None:
            return None
        kept = "".join(self._kept)
        return round(count(kept) * self._characters / len(kept)) if kept else 0

    def _look(self) -> None:
        """Look at what has gathered: whole events now, the beginning of another one later."""
        block = b"".join((self._buffer, *self._gathered))
        self._gathered.clear()
        self._room = BLOCK
        if self._tail is not None:
            block = self._pass_by(self._tail, block)
        marks = _ENDS if b"\r" in block else _ENDS[:1]
        end = max([at + len(mark) for mark in marks if (at := block.rfind(mark)) >= 0], default=0)
        self._events(block[:end])
        self._buffer = block[end:]
        if len(self._buffer) > EVENT_MAX:
            self._tail = Tail()
            self._buffer = self._pass_by(self._tail, self._buffer)

    def _pass_by(self, tail: Tail, block: bytes) -> bytes:
        """Let an event pass that is too large; returns what stands behind its end."""
        ends = [(at, at + len(mark)) for mark in _ENDS if (at := block.find(mark)) >= 0]
        if not ends:
            tail.feed(block[:-2])  # the last two may belong to its end
            return block[-2:]
        start, end = min(ends)
        tail.feed(block[:start])
        self._over(tail)
        return block[end:]

    def _over(self, tail: Tail) -> None:
        """The large event has ended. A response's usage stands one deeper than that of other events."""
        self._told = tail.usage(2) or self._told
        self._tail = None

    def _events(self, block: bytes) -> None:
        """Whole events."""
        block = _plain(block)
        text = self._alike(block)
        if text is not None:
            self._note(text)
            return
        for event in _split(block):
            found = self._texts.search(event)
            if found and _tells_nothing(event):
                self._frame = event[: found.start(1)], event[found.end(1) :] + b"\n\n"
                self._note(b"".join(self._texts.findall(event)))
            else:
                self._parse(event)

    def _alike(self, block: bytes) -> bytes | None:
        """The text of events that differ in nothing else from the one before them; None when they do."""
        before, behind = self._frame
        size = -len(behind)
        texts = [event[:size] for event in block.split(before)[1:]]
        if not texts or block != before + (behind + before).join(texts) + behind:
            return None
        text = b"".join(texts)
        return text if _INSIDE.fullmatch(text) else None

    def _parse(self, event: bytes) -> None:
        """An event that is unlike the others: the first, the last, the one with the usage."""
        for data in _data(event):
            try:
                told = json.loads(data)
            except (ValueError, RecursionError):
                continue  # such as [DONE]
            if not isinstance(told, dict):
                continue
            self._told = _usage(told) or self._told
            texts = texts_of(told)
            if texts:
                self._note(json.dumps("".join(texts))[1:-1].encode())
                self._texts = adopt(data)

    def _note(self, text: bytes) -> None:
        """Text as JSON spells it."""
        self._batch.append(text)
        self._size += len(text)
        if self._size >= BATCH:
            self._settle()

    def _settle(self) -> None:
        """Count what has gathered of the text."""
        raw = b'"%b"' % b"".join(self._batch)
        self._batch.clear()
        self._size = 0
        try:
            text = str(json.loads(raw, strict=False))
        except ValueError:
            text = raw.decode("utf-8", "replace")
        self._tokens += self._count(text)
        if self._kept is not None:
            if self._characters < KEPT:
                self._kept.append(text)
            self._characters += len(text)


def _plain(block: bytes) -> bytes:
    """The same with LF for every line end. There is none within JSON, where control characters are escaped."""
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block


def _split(block: bytes) -> list[bytes]:
    """The events in it, without the blank lines."""
    return [event for event in block.split(b"\n\n") if event]


def _tells_nothing(events: bytes) -> bool:
    return KEY not in events or events.count(KEY) == events.count(_NULL)


def _data(event: bytes) -> list[bytes]:
    """The data of an event: one, or none where it is a comment. Lines end in LF."""
    if event.startswith(b"data: ") and b"\n" not in (line := event[6:].rstrip(b"\n")):
        return [line]
    reader = EventReader(len(event) + 2)
    return [found.data for found in (*reader.feed(event), *reader.end())]


def _usage(told: dict[str, Any]) -> Usage | None:
    response = told.get("response")
    return read_usage(told.get("usage")) or (read_usage(response.get("usage")) if isinstance(response, dict) else None)
