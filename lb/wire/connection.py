"""One HTTP/1.1 connection to a backend: one request and its reply at a time, driven by the socket's events."""

from __future__ import annotations

import asyncio
from typing import Protocol

from lb.exchange import BackendFailed, Blame, Handshake, Receiver, Sender
from lb.wire.reply import BackendReply
from lb.wire.reply_reader import Interim, ReplyReader


class Stale(BackendFailed):
    """A reused connection ended before a byte of the reply came: the backend had most likely closed it while idle."""


class Home(Protocol):
    """Where a connection belongs while no request is under way."""

    def free(self, connection: Connection) -> None:
        """The reply ended and both sides keep the connection open."""

    def lost(self, connection: Connection) -> None:
        """It is of no further use."""


class Upload(Protocol):
    """What of the request is still to be sent."""

    def resume(self) -> None:
        """The socket takes more."""

    def stop(self) -> None:
        """Send no more of it."""


class Connection(asyncio.Protocol):
    """Nothing is awaited in here: pieces of a body go from the socket's read to the reply's receiver without a task."""

    __slots__ = ("_cut", "_home", "_loop", "_reader", "_reply", "_waiter", "age", "blocked", "dead", "expired", "heard",
                 "paused", "peer", "quiet", "receiver", "transport", "upload", "uses")  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, home: Home, peer: str) -> None:
        """`peer` is the backend's host and port as messages say them."""
        self.peer = peer
        self.receiver: Receiver | None = None
        self.upload: Upload | None = None
        self.uses = 0
        self.dead = False
        self.expired = False
        """Too old to be used again."""
        self.heard = False
        """Something moved since the sweep last looked; `quiet` and `age`, in seconds, are the sweep's."""
        self.quiet = 0.0
        self.age = 0.0
        self.paused = False
        self.blocked = False
        """The backend does not read what we send, and the buffer toward it is full."""
        self._cut = False
        self._loop = loop
        self._home = home
        self._reader: ReplyReader | None = None
        self._reply: BackendReply | None = None
        self._waiter: asyncio.Future[BackendReply] | None = None

    @property
    def idle(self) -> bool:
        """No request is under way."""
        return self._reader is None

    def begin(
        self, bodiless: bool, interim: Interim | None = None, handshake: Handshake | None = None
    ) -> asyncio.Future[BackendReply]:
        """A request is about to be written. The future brings the reply as soon as its head is there, or
        `BackendFailed`; the parameters are those of `ReplyReader`."""
        self.uses += 1
        self.heard = True
        self._reader = ReplyReader(bodiless, interim, handshake)
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def forget(self, waiter: asyncio.Future[BackendReply]) -> None:
        """Whoever awaited `waiter` was cancelled: throw away what it would have brought."""
        if waiter is self._waiter:
            self.abandon()
        elif not waiter.cancelled() and waiter.exception() is None:
            waiter.result().close()

    def abandon(self) -> None:
        """Take the connection down; nobody waits for what it would still bring."""
        # Of a WebSocket the client's last words, such as its Close frame, shall arrive.
        gently = self._reader is not None and self._reader.status == 101 and not self.transport.get_write_buffer_size()
        self._clear()
        self._die(gently=gently)

    def join(self, sender: Sender) -> Connection:
        """Behind a 101: from now on `sender` sends."""
        self.upload = sender
        return self

    def send(self, data: bytes) -> None:
        """Toward the backend. What comes when the connection has ended is for nobody."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def fail(self, blame: Blame, detail: str) -> None:
        """End the connection and, by `BackendFailed`, the request under way."""
        reader = self._reader
        stale = blame is Blame.LOST and self.uses > 1 and reader is not None and not reader.begun
        self.throw((Stale if stale else BackendFailed)(blame, f"{self.peer} {detail}"))

    def throw(self, error: Exception) -> None:
        """End the connection and, by `error`, the request under way."""
        reply, waiter = self._reply, self._waiter
        self._clear()
        self._die()
        if reply is not None:
            reply.fail(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def pause(self) -> None:
        if not self.paused and not self.dead:
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.paused and not self.dead:
            self.paused = False
            self.heard = True
            self.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.heard = True
        reader = self._reader
        if reader is None:  # nobody asked for anything
            self.abandon()
            return
        piece = reader.feed(data)
        receiver = self.receiver
        if receiver is None:
            self._keep(reader, piece)
        else:
            if piece:
                receiver.data(piece)
            if reader.done:
                self._end(reader)

    def eof_received(self) -> None:
        """The backend ended its side in good order. Under TLS uvloop calls this for a close_notify only, so that a body
        framed by the end of the connection cannot be cut unseen (RFC 9112 section 9.8); asyncio's own loop cannot tell.
        """
        reader = self._reader
        if reader is not None and reader.eof():
            self._end(reader)
        else:
            self._lose(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc)

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        self.heard = True
        if self.upload is not None:
            self.upload.resume()

    def _keep(self, reader: ReplyReader, piece: bytes) -> None:
        """Nobody relays yet: announce the head when it is there, and let the reply hold the body."""
        if self._reply is None and reader.status:
            self._announce(reader)
        if self._reply is not None and piece:
            self._reply.hold(piece)
        if reader.done:
            self._end(reader)

    def _announce(self, reader: ReplyReader) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():  # cancelled, but its task has not run yet
            self.abandon()
            return
        if self.upload is not None and reader.status >= 300:
            # The backend has refused what we are still sending (RFC 9112 section 9.5). A success may want the rest.
            self.upload.stop()
            self.upload = None
            self._cut = True
        self._reply = BackendReply(self, reader.status, reader.reason, reader.headers, reader.length, reader.raw)
        waiter.set_result(self._reply)

    def _end(self, reader: ReplyReader) -> None:
        if reader is not self._reader:  # the receiver has closed the reply meanwhile
            return
        if reader.fault is not None:
            self.fail(Blame.MALFORMED, f"sent a malformed reply: {reader.fault}")
            return
        reply = self._reply
        reusable = reader.persistent and reader.clean and self.upload is None and not self._cut and not self.expired
        self.resume()
        self._clear()
        if reusable:
            self._home.free(self)
        else:
            self._die()
        if reply is not None:
            reply.finish()

    def _lose(self, exc: Exception | None) -> None:
        if self.dead:
            return
        what = "cut its reply short" if self._reply is not None else "closed the connection before it replied"
        self.fail(Blame.LOST, f"{what}: {exc}" if exc is not None else what)

    def _clear(self) -> None:
        if self.upload is not None:
            self.upload.stop()
            self.upload = None
        self.receiver = self._reader = self._reply = self._waiter = None

    def _die(self, *, gently: bool = False) -> None:
        if not self.dead:
            self.dead = True
            if gently:
                self.transport.close()
            else:
                self.transport.abort()
            self._home.lost(self)
