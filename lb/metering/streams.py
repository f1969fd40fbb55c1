"""Reads the usage from an event stream, and counts the text that went by, for when there is none.

Made to cost little: it wants blocks of some kilobytes, and what is the same in a run of events is taken out of it as a
whole, which leaves the text. Events unlike that - the first, the last, anything odd - are read one by one.
"""

import json
import re
from typing import Any, Final

from lb.metering.deltas import CONTENT, adopt, texts_of
from lb.metering.estimate import Count, rough
from lb.metering.sse import EventReader
from lb.metering.tail import KEY, Tail
from lb.metering.usage import Usage, read_usage

EVENT_MAX: Final = 64 * 1024
"""Bytes of one event that are held; of a larger one, such as a response that repeats a long answer, only its end."""
BATCH: Final = 4096
"""Bytes of text that are counted at once."""
KEPT: Final = 256 * 1024
"""Characters of text that are kept for a tokenizer; what is longer is counted by its beginning."""
RUNS: Final = 5
"""How often a block is searched for a run of events that are alike; and as many blocks, in vain, until none is."""
NOTHING_ALIKE: Final = (b"\n\n\n", b"\n\n\n")
"""No event begins so."""
_INSIDE: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
"""Of JSON strings."""
_NULL: Final = b'"usage":null'
_ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r")
"""An event is over; other mixtures are found with the next one of these."""


class StreamReader:
    """Feed it a body of server-sent events, in any pieces; large ones cost less.

    `keep` keeps the text, so that a tokenizer can count it when the stream is over.
    """

    __slots__ = (
        "_batch",
        "_buffer",
        "_characters",
        "_count",
        "_frame",
        "_kept",
        "_size",
        "_tail",
        "_texts",
        "_tokens",
        "_told",
        "_vain",
    )  # fmt: skip

    def __init__(self, count: Count = rough, *, keep: bool = False) -> None:
        self._count = count
        self._buffer = b""
        """The beginning of an event whose end has not come."""
        self._tail: Tail | None = None
        """Reads the event that is too large to be held."""
        self._texts = CONTENT
        """Finds the texts in this stream's events."""
        self._frame = NOTHING_ALIKE
        """What stood before and behind the text in the last of them."""
        self._vain = 0
        """Blocks in a row without a run of events that are alike: some backends pad each to a length by chance."""
        self._told: Usage | None = None
        self._batch: list[bytes] = []
        self._size = 0
        self._tokens = 0
        self._kept: list[str] | None = [] if keep else None
        self._characters = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body: look at whole events now, at the beginning of another one later."""
        block = self._buffer + piece if self._buffer else piece
        if self._tail is not None:
            block = self._pass_by(self._tail, block)
        marks = _ENDS if b"\r" in block else _ENDS[:1]
        end = max([at + len(mark) for mark in marks if (at := block.rfind(mark)) >= 0], default=0)
        if end:
            self._events(_plain(block[:end]))
        self._buffer = block[end:]
        if len(self._buffer) > EVENT_MAX:
            self._tail = Tail()
            self._buffer = self._pass_by(self._tail, self._buffer)

    def reported(self) -> Usage | None:
        """The last usage that was told. A backend that reports as it goes has told the cost so far."""
        if self._tail is not None:
            self._over(self._tail)
        rest, self._buffer = self._buffer, b""
        for event in _split(_plain(rest)):
            self._parse(event)  # it may lack its end, and then it does not count: no client can read it either
        return self._told

    def counted(self, count: Count | None = None) -> int | None:
        """Tokens of the text so far, by the count that was given at the start or by this one."""
        self._settle()
        if count is None:
            return self._tokens
        if self._kept is None:
            return None
        kept = "".join(self._kept)
        return round(count(kept) * self._characters / len(kept)) if kept else 0

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
        """Whole events, with LF for every line end."""
        at, found = 0, False
        for _ in range(RUNS if self._vain < RUNS else 0):
            end = self._run(block, at)
            found = found or end > 0
            at = end or self._one(block, at)
            if at >= len(block):
                break
        self._vain = 0 if found else self._vain + 1
        if at < len(block) and not self._spread(block[at:]):
            while at < len(block):
                at = self._one(block, at)

    def _run(self, block: bytes, start: int) -> int:
        """Note the text of a run of events that differ in nothing else; returns its end, or 0 where none begins."""
        before, behind = self._frame
        if not block.startswith(before, start):
            return 0
        end = block.rfind(behind, start)
        if end < 0:
            return 0
        run, size = block[start:end], -len(behind)
        texts = run.split(before)
        texts = [text[:size] for text in texts[1:-1]] + texts[-1:]
        text = b"".join(texts)
        if before + (behind + before).join(texts) != run or (b'"' in text and not _INSIDE.fullmatch(text)):
            return 0
        self._note(text)
        return end - size

    def _spread(self, events: bytes) -> bool:
        """Note the texts of events that each have one and no usage; false where they do not."""
        if not _tells_nothing(events):
            return False
        texts = self._texts.all_in(events)
        if len(texts) != events.count(b"data: {"):
            return False
        self._note(b"".join(texts))
        return True

    def _one(self, block: bytes, start: int) -> int:
        """Read the event that begins here; returns where the next one does."""
        end = block.find(b"\n\n", start)
        event = block[start:] if end < 0 else block[start:end]
        found = self._texts.search(event) if event else None
        if found and _tells_nothing(event):
            texts = self._texts.all_in(event)
            if len(texts) == 1:
                self._frame = event[: found.start(1)], event[found.end(1) :] + b"\n\n"
            self._note(b"".join(texts))
        elif event:
            self._parse(event)
        return start + len(event) + 2

    def _parse(self, event: bytes) -> None:
        """An event that is unlike the others: the first, the last, the one with the usage."""
        for data in _data(event):
            try:
                told = json.loads(data)
            except (ValueError, RecursionError):
                continue  # such as [DONE]
            if not isinstance(told, dict):
                continue
            self._told = _usage(told, self._told) or self._told
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


def _usage(told: dict[str, Any], before: Usage | None) -> Usage | None:
    for inner in (told, told.get("response"), told.get("message")):
        usage = read_usage(inner.get("usage")) if isinstance(inner, dict) else None
        if usage is not None:
            return _added(usage, before) if told.get("type") == "message_delta" and before is not None else usage
    return None


def _added(usage: Usage, before: Usage) -> Usage:
    """Anthropic's Messages tell the prompt when they begin, and the answer so far as they go."""
    prompt, cached = max(usage.prompt, before.prompt), max(usage.cached, before.cached)
    return usage._replace(prompt=prompt, cached=cached, total=prompt + usage.completion)
