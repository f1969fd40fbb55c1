"""Replies as bytes. aiohttp reads the requests; what goes back is written here, so that it can be wrong on purpose."""

import socket
import struct
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web

from lb.sim.errors import Fields

PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Written(web.StreamResponse):
    """Tells aiohttp that the reply has been written already, and whether the connection may serve another request."""

    def __init__(self, keep_alive: bool) -> None:
        super().__init__()
        self._open = keep_alive

    @property
    def keep_alive(self) -> bool | None:
        return self._open

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to do."""

    async def write_eof(self, data: Any = b"") -> None:
        """Nothing is left to do."""


class Wire:
    """One reply on its way out. Raises ConnectionResetError when the client has left."""

    __slots__ = ("_chunked", "_keep", "_request", "bare", "until_close")

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._keep = request.keep_alive
        self._chunked = False
        self.bare = request.method == "HEAD"
        self.until_close = False
        """Delimit the body by the connection's end."""

    def last(self) -> None:
        """No request follows this one on the connection."""
        self._keep = False

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        transport.write(data)

    def head(self, status: int, fields: Fields, length: int | None) -> None:
        """Write a reply's head; a `length` of None is a body of unknown length."""
        if length is None and self._request.version < HttpVersion11:
            self.until_close = True
        if self.until_close:
            self._keep = False
        elif length is None:
            self._chunked = True
            fields = [*fields, ("Transfer-Encoding", "chunked")]
        else:
            fields = [*fields, ("Content-Length", str(length))]
        if not self._keep:
            fields = [*fields, ("Connection", "close")]
        self.raw(render_head(status, fields))

    def data(self, data: bytes) -> None:
        """Write a piece of the body."""
        if not self.bare:
            self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def drain(self) -> None:
        """Wait while the client is slow to read."""
        await self._request.writer.drain()

    def end(self) -> Written:
        """End the body as its framing wants it."""
        if self._chunked and not self.bare:
            self.raw(b"0\r\n\r\n")
        return KEEP if self._keep else CLOSE

    def cut(self, reset: bool = False) -> Written:
        """End the connection at once, after what was written so far or, with `reset`, by a TCP reset."""
        transport = self._request.transport
        if transport is not None and reset:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif transport is not None:
            transport.close()
        return CLOSE


def render_head(status: int, fields: Fields) -> bytes:
    """A status line and fields, as they stand in HTTP/1.1."""
    lines = [f"HTTP/1.1 {status} {PHRASES.get(status, '')}\r\n"]
    lines.extend([f"{name}: {value}\r\n" for name, value in fields])
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")


KEEP = Written(keep_alive=True)
CLOSE = Written(keep_alive=False)
