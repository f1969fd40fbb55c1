"""Takes in a request's body: into memory or, once it is too large for that, as a `KeptBody`."""

from collections.abc import Callable

from lb.balancing.model_scan import model_scan
from lb.balancing.routing import looked_into
from lb.wire.chunked import ChunkedBody
from lb.wire.head import Head
from lb.wire.kept_body import KeptBody
from lb.wire.room import Room

STREAM_WINDOW = 256 * 1024
"""Bytes of a streamed body that wait for the backend before reading stops."""


class Overdrawn(Exception):
    """There is no memory left even to pass a body on."""


class Intake:
    """One body on its way in. `feed` it until `complete`; once it is `ready` the request can start."""

    __slots__ = (
        "_cap",
        "_chunks",
        "_head",
        "_held",
        "_left",
        "_resume",
        "_room",
        "complete",
        "stream",
        "taken",
    )

    def __init__(self, head: Head, room: Room, resume: Callable[[], None]) -> None:
        """`resume` is called when more may be fed, and when the body has become ready by itself."""
        self._head = head
        self._left = head.length or 0
        self._chunks = ChunkedBody() if head.chunked else None
        self._room = room
        self._cap = room.in_memory_of(head.fields.get(b"content-type", b""))
        self._resume = resume
        self._held = bytearray()  # no list: a client may send it byte by byte
        self.taken = 0
        """Bytes of the memory for bodies that this one holds."""
        self.stream: KeptBody | None = None
        self.complete = False

    @property
    def ready(self) -> bool:
        """Is everything here that will be kept?"""
        return self.complete if self.stream is None else self.stream.ready

    @property
    def full(self) -> bool:
        """Should reading stop until the backend has taken more?"""
        return self.stream is not None and not self.complete and len(self.stream.waiting) >= STREAM_WINDOW

    def feed(self, received: bytes) -> bytes:
        """Take what belongs to the body, return what follows it. Raises `Malformed`, `Overdrawn`."""
        if self._chunks is not None:
            after = self._chunks.feed(received, self._take)
            self.complete = after is not None
        else:
            after = received[self._left :]
            piece = received[: self._left] if after else received
            self._left -= len(piece)
            self.complete = not self._left
            self._take(piece)
        if self.complete and self.stream is not None:
            self.stream.end()
        return after or b""

    def body(self) -> bytes | KeptBody:
        """What the request is to carry."""
        if self.stream is not None:
            return self.stream
        body = bytes(self._held)
        self._held = bytearray()
        return body

    def release(self) -> None:
        """Return what is held of the budget. Idempotent."""
        self._room.memory.give(self.taken)
        self.taken = 0
        if self.stream is not None:
            self.stream.let_go()

    def break_off(self) -> None:
        """The rest will not come."""
        if self.stream is not None and not self.complete:
            self.stream.break_off()

    def _take(self, piece: bytes) -> None:
        size, memory = len(piece), self._room.memory
        if self.stream is None and len(self._held) + size <= self._cap and memory.take(size):
            self._held += piece
        elif not memory.overdraw(size):
            raise Overdrawn
        elif self.stream is None:
            self.stream = self._overflow(piece)
        else:
            self.stream.put(piece)
        self.taken += size

    def _overflow(self, piece: bytes) -> KeptBody:
        """More came than memory takes."""
        head, room, seen = self._head, self._room, None
        at = len(piece) if room.disk is None else self._cap - len(self._held)
        self._held += piece[:at]
        prefix = bytes(self._held)
        self._held = bytearray()
        if room.disk is not None and looked_into(head.method, head.safe_target):
            fields = head.fields
            seen = model_scan(fields.get(b"content-type", b""), fields.get(b"content-encoding", b""), prefix)
            if seen is not None:
                seen.feed(prefix)
        body = KeptBody(head.length, prefix, room.each - len(prefix), room.disk, seen, self._drained, self._resume)
        if piece[at:]:
            body.put(piece[at:])
        return body

    def _drained(self, size: int) -> None:
        size = min(size, self.taken)  # nothing is left once it was released
        self._room.memory.give(size)
        self.taken -= size
        self._resume()
