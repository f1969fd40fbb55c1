"""Takes in a request's body: whole, to be sent again if need be, or as a stream once it is too large to keep."""

import asyncio
from collections.abc import AsyncIterator, Callable

from lb.exchange import ClientGone
from lb.wire.chunked import ChunkedBody

STREAM_WINDOW = 256 * 1024
"""Bytes of a streamed body that wait for the backend before reading stops."""


class Budget:
    """How many bytes all requests together may hold of their bodies. Streams may go a quarter beyond `limit`."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Reserve for a body that is kept; False when that is too much."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def overdraw(self, size: int) -> bool:
        """Reserve for a piece of a body that is only passing; False when even that is too much."""
        if self.used + size > self.limit + self.limit // 4:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        """Return what was reserved."""
        self.used -= size


class Overdrawn(Exception):
    """There is no memory left even to pass a body on."""


class StreamedBody:
    """A body that can be read once, as it comes: `lb.exchange.BodyStream`."""

    __slots__ = ("_drained", "_reader", "broken", "complete", "length", "prefix", "started", "waiting")

    def __init__(self, length: int | None, prefix: bytes, drained: Callable[[int], None]) -> None:
        self.length = length
        self.prefix = prefix
        self.started = False
        self.waiting = bytearray()
        self.complete = False
        self.broken = False
        self._drained = drained
        self._reader: asyncio.Future[None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, prefix first. Raises `ClientGone` when the client broke it off."""
        self.started = True
        yield self.prefix
        while not self.broken:
            if self.waiting:
                piece = bytes(self.waiting)
                self.waiting.clear()
                self._drained(len(piece))
                yield piece
            elif self.complete:
                return
            else:
                self._reader = asyncio.get_running_loop().create_future()
                await self._reader
        raise ClientGone

    def put(self, piece: bytes) -> None:
        """A piece came."""
        self.waiting += piece
        self.stir()

    def stir(self) -> None:
        """Something changed: let the reader look."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Intake:
    """One body on its way in. `feed` it until `complete`; once `stream` is there the request can start."""

    __slots__ = ("_budget", "_cap", "_chunks", "_held", "_left", "_length", "_resume", "complete", "stream", "taken")

    def __init__(self, length: int | None, chunked: bool, cap: int, budget: Budget, resume: Callable[[], None]) -> None:
        self._length = length
        self._left = length or 0
        self._chunks = ChunkedBody() if chunked else None
        self._cap = cap
        self._budget = budget
        self._resume = resume
        self._held = bytearray()
        self.taken = 0
        """Bytes of the budget that this body holds."""
        self.stream: StreamedBody | None = None
        self.complete = False

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
            self.stream.complete = True
            self.stream.stir()
        return after or b""

    def body(self) -> bytes | StreamedBody:
        """What the request is to carry."""
        if self.stream is not None:
            return self.stream
        body = bytes(self._held)
        self._held = bytearray()
        return body

    def release(self) -> None:
        """Return what is held of the budget. Idempotent."""
        self._budget.give(self.taken)
        self.taken = 0

    def break_off(self) -> None:
        """The rest will not come."""
        if self.stream is not None and not self.complete:
            self.stream.broken = True
            self.stream.stir()

    def _take(self, piece: bytes) -> None:
        size = len(piece)
        if self.stream is None and len(self._held) + size <= self._cap and self._budget.take(size):
            self._held += piece
        elif not self._budget.overdraw(size):
            raise Overdrawn
        elif self.stream is None:
            self.stream = StreamedBody(self._length, bytes(self._held) + piece, self._drained)
            self._held = bytearray()
        else:
            self.stream.put(piece)
        self.taken += size

    def _drained(self, size: int) -> None:
        size = min(size, self.taken)  # nothing is left once it was released
        self._budget.give(size)
        self.taken -= size
        self._resume()
