"""Request bodies that are too large to hand to the socket at once: sent as fast as the backend reads, while its reply,
which may come early, is read at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lb.exchange import BodyStream
    from lb.wire.connection import Connection

PIECE: Final = 64 * 1024
"""Bytes written at once: a write that fails takes little with it, and no other connection waits long."""


class BytesUpload:
    """A body in memory; driven by the socket alone."""

    __slots__ = ("_connection", "_parts")

    def __init__(self, connection: Connection, parts: list[bytes]) -> None:
        self._connection = connection
        self._parts = deque(memoryview(part) for part in parts)

    def resume(self) -> None:
        connection, parts = self._connection, self._parts
        transport = connection.transport
        while parts and not connection.blocked and not transport.is_closing():
            part = parts[0]
            transport.write(part[:PIECE])
            if len(part) > PIECE:
                parts[0] = part[PIECE:]
            else:
                parts.popleft()
        if not parts:
            connection.upload = None

    def stop(self) -> None:
        self._parts.clear()


class StreamUpload:
    """A body that is still arriving from the client; it is read no faster than the backend takes it."""

    __slots__ = ("_connection", "_room", "_stream", "_task")

    def __init__(self, connection: Connection, stream: BodyStream) -> None:
        self._connection = connection
        self._stream = stream
        self._room: asyncio.Future[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def resume(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        connection = self._connection
        try:
            await self._send()
        except Exception as error:  # the client's failure, not the backend's: it ends the request as it is
            connection.upload = None
            connection.throw(error)
        else:
            connection.heard = True
            connection.upload = None

    async def _send(self) -> None:
        write, chunked, left = self._connection.transport.write, self._stream.length is None, self._stream.length or 0
        async with aclosing(aiter(self._stream)) as stream:
            async for piece in stream:
                if not piece:
                    continue  # an empty chunk would end the body
                if chunked:
                    write(b"%x\r\n%b\r\n" % (len(piece), piece))
                elif len(piece) > left:
                    raise RuntimeError("the request body is longer than its Content-Length")
                else:
                    left -= len(piece)
                    write(piece)
                if self._connection.blocked:
                    await self._wait()
        if chunked:
            write(b"0\r\n\r\n")
        elif left:
            raise RuntimeError("the request body is shorter than its Content-Length")

    async def _wait(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        try:
            await self._room
        finally:
            self._room = None
