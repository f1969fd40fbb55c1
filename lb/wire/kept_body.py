"""A body that is too large for memory: its beginning is kept, on disk beyond what memory takes; the rest passes
once."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from lb.balancing.model_scan import ModelScan
from lb.exchange import ClientGone
from lb.wire.spool import Disk, Spool

PIECE: Final = 256 * 1024
"""Bytes that are written or read at once: a turn of a thread costs some 50 us, however much it moves."""


class KeptBody:
    """Implements `lb.exchange.BodyStream`. While it is not `ready` what arrives goes to the disk; from then on it waits
    for whoever reads."""

    __slots__ = ("_changed", "_disk", "_drained", "_keeper", "_let_go", "_reader", "_readers", "_room", "_spool",
                 "broken", "complete", "length", "prefix", "ready", "seen", "started", "waiting")  # fmt: skip

    def __init__(
        self,
        length: int | None,
        prefix: bytes,
        room: int,
        disk: Disk | None,
        seen: ModelScan | None,
        drained: Callable[[int], None],
        changed: Callable[[], None],
    ) -> None:
        """`room` is how many bytes are to be kept behind the prefix. `drained` is told how many bytes have left
        memory, `changed` that the body has become `ready`."""
        self.length = length
        self.prefix = prefix
        self.seen = seen
        self.started = False
        self.waiting = bytearray()
        """What came and is neither kept nor taken."""
        self.complete = False
        self.broken = False
        self.ready = disk is None or room <= 0
        """The request can start: all that will be kept is kept."""
        self._room = room
        self._disk = disk
        self._spool: Spool | None = None if self.ready or disk is None else Spool(disk)
        self._keeper: asyncio.Task[None] | None = None
        self._drained = drained
        self._changed = changed
        self._reader: asyncio.Future[None] | None = None
        self._readers = 0
        self._let_go = False

    @property
    def whole(self) -> bool:
        """All of it is kept."""
        return self.complete and not self.waiting and not self.started and self._keeper is None

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """The body, prefix first. Raises `ClientGone` when the client broke it off."""
        if self.started:
            raise RuntimeError("a part of this body is gone")
        self._readers += 1
        try:
            yield self.prefix
            at, spool = 0, self._spool
            while spool is not None and at < spool.size:
                piece = await spool.read(at, PIECE)
                at += len(piece)
                yield piece
            while piece := await self._next():
                yield piece
        finally:
            self._readers -= 1
            self._close()

    async def _next(self) -> bytes:
        """What is not kept, piece by piece; empty at the end."""
        while not self.broken:
            if self.waiting:
                self.started = True
                piece = bytes(self.waiting)
                self.waiting.clear()
                self._drained(len(piece))
                return piece
            if self.complete:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        raise ClientGone

    def put(self, piece: bytes) -> None:
        """A piece came."""
        self.waiting += piece
        if not self.ready and self.seen is not None:
            self.seen.feed(piece)
            if self.seen.problem is not None:
                self._room = 0  # it will be refused: nothing more is worth keeping
        self.stir()

    def end(self) -> None:
        """That was all."""
        self.complete = True
        self.stir()

    def break_off(self) -> None:
        """The rest will not come."""
        self.broken = True
        self.stir()

    def stir(self) -> None:
        """Something changed: let the reader look, or the disk have what has gathered."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if not self.ready and self._keeper is None and (self.complete or self._due()):
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    def let_go(self) -> None:
        """It will not be read again; who reads it now may go on to the end."""
        self._let_go = True
        self._close()

    def _due(self) -> bool:
        return len(self.waiting) >= min(PIECE, self._room)

    async def _keep(self) -> None:
        """Write what has gathered; what gathers meanwhile is written next."""
        spool = self._spool
        assert spool is not None  # noqa: S101 - it is not ready
        while self._room and self.waiting and (self.complete or self._due()) and not self._let_go:
            size = min(len(self.waiting), self._room, PIECE)
            with memoryview(self.waiting) as waiting:
                piece = bytes(waiting[:size])
            del self.waiting[:size]
            try:
                await spool.write(piece)
            except OSError as error:
                self.waiting[:0] = piece
                self._fail(error)
                break
            self._room = max(0, self._room - size)
            self._drained(size)
        self._keeper = None
        if self._let_go:
            self._close()
        elif not self._room or (self.complete and not self.waiting):
            self._be_ready()
        else:
            self.stir()

    def _fail(self, error: OSError) -> None:
        """No more of it can be kept: what comes passes once."""
        if self._disk is not None and not self._let_go:
            self._disk.failed(error.strerror or str(error))
        self._room = 0

    def _be_ready(self) -> None:
        if not self.ready:
            self.ready = True
            self._changed()

    def _close(self) -> None:
        if self._let_go and not self._readers and self._keeper is None and self._spool is not None:
            self._spool.close()
            self._spool = None
