"""The waiting client: writes a reply as it arrives, and never makes up the end of one that did not end."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from lb.exchange import BackendFailed, ClientGone, Ended, Headers, Reply, Tap
from lb.wire.beats import Beats
from lb.wire.handshake import without_location_keys
from lb.wire.headers import filtered_head, own_head, phrase, reply_head

_BODILESS = frozenset((204, 304))  # RFC 9110 section 6.4.1
_CONTINUE = 100
_COPY_MAX = 64 * 1024
"""Bytes of a chunk that are copied into its framing, in 1.5 us for as many; uvloop sends three writes in one system
call, but for less than this they cost more than the copy, and for more the copy costs fresh pages."""
Switch = Callable[["WaitingClient", Reply, bytes], Awaitable[None]]
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing resets the connection


class WaitingClient:
    """One request's client (`lb.exchange.Client`), which is also the `Receiver` of its reply.

    `begun` is set with the first byte of a final reply, `over` when nothing more will be sent for this request,
    `keep` tells whether the connection may live on after it, `switch` makes a WebSocket of it where the client asks for
    one.
    """

    gone = False
    ended: Ended | None = None
    begun = False
    over = False
    tap: Tap | None
    beats: Beats | None = None
    """Keeps silent streams alive, where that is asked for."""
    switch: Switch | None = None
    _reply: Reply | None
    _chunked = False
    _delimited = False

    def __init__(self, transport: asyncio.WriteTransport, method: str, modern: bool, keep: bool) -> None:
        self.tap = self._reply = None
        self._transport = transport
        self._headless = method == "HEAD"
        self._modern = modern
        self.keep = keep

    def answer(self, status: int, headers: Headers, body: bytes, extra: bytes = b"") -> None:
        """Send a reply of our own, framed by its length."""
        if self.gone or self.begun:
            return
        self.begun = self.over = True
        head = own_head(status, headers, len(body), extra + self._connection())
        self._write(head if self._headless else head + body)

    def hint(self, status: int, headers: Headers) -> None:
        """Pass an interim reply on (RFC 9110 section 15.2), but for 100: what the client expects, we have sent. A reply
        that another backend then gives in its place does no harm: a hint promises nothing."""
        if status != _CONTINUE and not (self.begun or self.gone):
            self._write(filtered_head(status, phrase(status), headers, False, b"\r\n"))

    async def relay(self, reply: Reply, extra: bytes) -> None:
        """Send the reply's head with the `extra` fields, then its body as it arrives, to its end."""
        if self.gone:
            raise ClientGone
        self.begun = True
        if self.switch is not None and reply.status == 101:
            self._delimited = True
            await self.switch(self, reply, extra)
            self.over = True
            return
        head = self._head(reply, extra)
        body = reply.whole()
        if body is not None:
            self._send_whole(head, body)
            return
        self._reply = reply
        self._write(head)
        beat = None if self.beats is None else self.beats.begin(self, reply, self.tap)
        self.tap = beat or self.tap
        try:
            await reply.relay(self)
        except BackendFailed:
            self.cut()
            raise
        finally:
            self._reply = None
            if beat is not None:
                beat.end()
        self.over = True
        if self._chunked:
            self._write(b"0\r\n\r\n")

    def _send_whole(self, head: bytes, body: bytes) -> None:
        """All that there is, by one write."""
        self.over = True
        if not self._chunked:
            self._write(head + body)
        elif body:
            self._write(b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body))
        else:
            self._write(head + b"0\r\n\r\n")
        if self.tap is not None and body:
            self.tap.data(body)

    def data(self, chunk: bytes) -> None:
        """A piece of the body came: one write."""
        if not chunk:
            return  # it would read as the last chunk
        if not self._chunked:
            self._write(chunk)
        elif len(chunk) <= _COPY_MAX:
            self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        else:
            self._write(b"%x\r\n" % len(chunk))
            self._write(chunk)
            self._write(b"\r\n")
        if self.tap is not None:
            self.tap.data(chunk)

    def interject(self, piece: bytes) -> None:
        """Send a piece that no backend sent, unless the client is behind with its reading."""
        if not (self.over or self.gone or self._transport.get_write_buffer_size()):
            self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    def pause(self) -> None:
        """The client reads slower than the backend writes."""
        if self._reply is not None:
            self._reply.pause()

    def resume(self) -> None:
        """The client has caught up."""
        if self._reply is not None:
            self._reply.resume()

    def cut(self) -> None:
        """End the connection so that the client sees that the reply is not complete. Idempotent."""
        if self.over:
            return
        self.over = True
        self.keep = False
        if self._delimited:  # a clean close would be a clean end
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection, whatever is still to be written."""
        self._transport.abort()

    def _write(self, piece: bytes) -> None:
        try:
            self._transport.write(piece)
        except RuntimeError:
            # The connection was lost in this turn of the loop, which uvloop's transport says in this way; that the
            # client has gone is told in the next one.
            self.keep = False

    def _head(self, reply: Reply, extra: bytes) -> bytes:
        status = reply.status
        framing = b""
        if self._headless or status in _BODILESS:
            sized = status != 204  # RFC 9110 section 8.6
        elif reply.length is not None:
            sized = True
            if self.keep and self._modern:  # as nearly always
                return reply_head(reply, True, extra + b"\r\n")
        else:
            sized = False
            if self._modern:
                self._chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                self._delimited = True
                self.keep = False
        tail = b"%b%b%b\r\n" % (extra, framing, self._connection())
        if self.switch is not None and 300 <= status < 400:
            return filtered_head(status, reply.reason, without_location_keys(reply.headers), sized, tail)
        return reply_head(reply, sized, tail)

    def _connection(self) -> bytes:
        if not self.keep:
            return b"Connection: close\r\n"
        return b"" if self._modern else b"Connection: keep-alive\r\n"
