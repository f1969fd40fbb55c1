"""Where the frames of a WebSocket begin and end (RFC 6455 section 5.2), and what its text messages say they cost.

Sans-IO: bytes in at any split, nothing held but the head of a frame, which has at most 14 bytes. Frames are followed,
not judged: what breaks the rules so that no boundary can be told any more only ends the following (`lost`).
"""

import re
from typing import Final

from lb.metering.tail import KEY, Tail
from lb.metering.usage import UNKNOWN, Usage

TEXT: Final = 0x1
CLOSE: Final = 0x8
_FINAL: Final = 0x80
_RESERVED: Final = 0x70
"""Bits that only extensions use; none is ever agreed on here."""
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_CONTROL: Final = 0x8
_RESPONSE: Final = re.compile(rb'"response\.(created|done|completed|incomplete|failed)"')
"""The type of a message. In a text that it quotes, the last quotation mark would be escaped."""
_BEGINNING: Final = 256
"""Bytes of a message in which its type stands."""
NOTHING: Final = Usage()


Span = tuple[int, int, int, bool]
"""A part of a frame's payload: the frame's first byte (final or not, reserved bits, opcode), where in the bytes that
were fed the part begins and ends, and whether the frame ends there, too."""


class FrameReader:
    """Follows one direction of a WebSocket from the first byte behind its handshake."""

    __slots__ = ("_first", "_head", "_left", "closed", "lost")

    def __init__(self) -> None:
        self._head = b""
        """The beginning of a frame's head."""
        self._first = 0
        self._left = 0
        """Bytes of the frame under way that are still to come."""
        self.closed = False
        """A Close frame has passed: no other may follow (RFC 6455 section 5.5.1)."""
        self.lost = False
        """What came is no frame."""

    @property
    def between(self) -> bool:
        """May another frame be put in here?"""
        return not (self._left or self._head or self.lost or self.closed)

    def follow(self, data: bytes) -> None:
        """As `feed`, for who does not want the payloads: a third of the cost for frames that are like most."""
        at, size = self._left, len(data)
        if self._head or (at and self._first & _CONTROL):
            self.feed(data)
            return
        while at + 4 <= size:
            first, length = data[at], data[at + 1]
            if first & _CONTROL or length > 126:
                break
            at += 2 + length if length < 126 else 4 + (data[at + 2] << 8 | data[at + 3])
            self._first = first
        if at >= size:
            self._left = at - size
        else:
            self._left = 0
            self.feed(data[at:])

    def feed(self, data: bytes) -> list[Span]:
        """The payloads in `data`, in their order; a frame without a payload has an empty one."""
        spans: list[Span] = []
        at, size = 0, len(data)
        while at < size and not self.lost:
            if not self._left:
                at = self._begin(data, at, size)
                if self._head or self.lost:
                    break
            end = min(at + self._left, size)
            self._left -= end - at
            whole = not self._left
            spans.append((self._first, at, end, whole))
            if whole and self._first & _OPCODE == CLOSE:
                self.closed = True
            at = end
        return spans

    def _begin(self, data: bytes, at: int, size: int) -> int:
        """Read a frame's head, or as much of it as there is; returns the place behind it."""
        if not self._head:
            need = _head_size(data, at, size)
            if at + need <= size:
                self._open(data, at, need)
                return at + need
        while at < size:
            self._head += data[at : at + 1]
            at += 1
            head = self._head
            if len(head) == _head_size(head, 0, len(head)):
                self._head = b""
                self._open(head, 0, len(head))
                break
        return at

    def _open(self, data: bytes, at: int, size: int) -> None:
        self._first = first = data[at]
        length = data[at + 1] & ~_MASKED
        if first & _CONTROL and (length > 125 or not first & _FINAL):
            self.lost = True
        elif length > 125:
            wide = 2 if length == 126 else 8
            length = int.from_bytes(data[at + 2 : at + 2 + wide])
            self.lost = length >> 63 == 1
        self._left = length


def _head_size(data: bytes, at: int, size: int) -> int:
    """Of the head that begins here: 2 to 14 bytes, at least 2 while that cannot be told."""
    if at + 1 >= size:
        return 2
    second = data[at + 1]
    length = second & ~_MASKED
    return 2 + (0 if length < 126 else 2 if length == 126 else 8) + (4 if second & _MASKED else 0)


class SessionReader:
    """Adds up what a server's messages say that its responses cost: feed it what the server sends.

    Realtime tells the usage in `response.done` and with transcriptions of what was heard, the Responses API in
    `response.completed` and its likes. It is a member of the message, or of its `response`.
    """

    __slots__ = ("_beginning", "_frames", "_opcode", "_open", "_tail", "_unreadable", "total")

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._opcode = 0
        """Of the message under way, whose further frames do not say it."""
        self._tail: Tail | None = None
        """Reads a message that comes in several pieces, or tells a usage."""
        self._beginning = b""
        self._open = 0
        """Responses that have begun and not told their cost."""
        self._unreadable = False
        self.total = NOTHING
        """What was told so far."""

    def feed(self, data: bytes) -> list[Usage]:
        """The usages that `data` completes."""
        told: list[Usage] = []
        for first, start, end, whole in self._frames.feed(data):
            if first & _CONTROL:
                continue
            if first & _RESERVED:
                self._unreadable = True
            self._opcode = first & _OPCODE or self._opcode
            if self._opcode == TEXT:
                self._read(data, start, end, told, whole=whole and first >= _FINAL)
        if self._frames.lost:
            self._unreadable = True
        for usage in told:
            self.total = _sum(self.total, usage)
        return told

    def usage(self) -> Usage:
        """What the session cost. Where not all of it was told it is at least that much, and so an estimate."""
        if not (self._open or self._unreadable):
            return self.total
        return UNKNOWN if self.total is NOTHING else self.total._replace(estimated=True)

    def _read(self, data: bytes, start: int, end: int, told: list[Usage], *, whole: bool) -> None:
        """A part of a text message; `whole` where it ends here."""
        tail = self._tail
        if tail is None:
            if whole and data.find(KEY, start, end) < 0:  # nearly always
                self._note(data[start : min(end, start + _BEGINNING)], None)
                return
            tail = self._tail = Tail()
        piece = data[start:end]
        if len(self._beginning) < _BEGINNING:
            self._beginning += piece[:_BEGINNING]
        tail.feed(piece)
        if whole:
            usage = tail.usage(2)
            self._note(self._beginning[:_BEGINNING], usage)
            self._tail, self._beginning = None, b""
            if usage is not None:
                told.append(usage)

    def _note(self, beginning: bytes, usage: Usage | None) -> None:
        """A message is over: did a response begin with it, or end?"""
        found = _RESPONSE.search(beginning)
        if found is None:
            return
        if found[1] == b"created":
            self._open += 1
        elif self._open and (usage is not None or found[1] == b"failed"):
            self._open -= 1


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        prompt=one.prompt + other.prompt,
        completion=one.completion + other.completion,
        total=one.total + other.total,
        cached=one.cached + other.cached,
        reasoning=one.reasoning + other.reasoning,
        audio_in=one.audio_in + other.audio_in,
        audio_out=one.audio_out + other.audio_out,
        audio_seconds=one.audio_seconds + other.audio_seconds,
    )
