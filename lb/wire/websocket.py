"""A client connection that has become a WebSocket: bytes pass as they come, both ways, and frames are only followed.

Two frames are ours, and both go to the client only, between two frames of the backend. A Ping, when neither side has
said anything for a while: the client's Pong passes on to the backend, where nobody waits for it, which is no fault (RFC
6455 section 5.5.3), so that one frame keeps both connections in use. And a Close, when the balancer shuts down.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING, Final

from lb.exchange import BackendFailed, Blame, Ended, Reply, Upstream
from lb.metering.frames import FrameReader
from lb.wire.handshake import switching_head
from lb.wire.line import LOOK_SECONDS, NEVER

if TYPE_CHECKING:
    from lb.wire.relay import WaitingClient
    from lb.wire.serving import Serving

PING: Final = b"\x89\x02lb"
_GOING_AWAY: Final = struct.pack(">H", 1001) + b"The load balancer is shutting down."  # RFC 6455 section 7.4.1
GOODBYE: Final = bytes((0x88, len(_GOING_AWAY))) + _GOING_AWAY


async def converse(front: Serving, client: WaitingClient, reply: Reply, extra: bytes) -> None:
    """Grant the handshake with the reply's head, and relay until one side ends it.

    Raises `BackendFailed` when the backend leaves without a Close frame; the client is then left in the same way.
    """
    session = Session(front, client, reply)
    session.begin(switching_head(reply.reason, reply.headers, extra))
    try:
        await reply.relay(session)
    except BackendFailed:
        if not session.closed:
            client.cut()
            raise
    finally:
        session.end()
    if not session.closed:
        client.over = True
        raise BackendFailed(Blame.LOST, "it ended a WebSocket without a Close frame")


class Session(asyncio.Protocol):
    """The protocol of the client's transport, in the place of `Front`, which goes on to hold the request.

    It is a `Guest` of the listener, the `Receiver` of what the backend sends, and the `Sender` of what the client does.
    """

    __slots__ = ("_client", "_frames", "_front", "_moved", "_over", "_parting", "_reply", "_upstream", "deadline",
                 "transport")  # fmt: skip

    def __init__(self, front: Serving, client: WaitingClient, reply: Reply) -> None:
        self.transport = front.transport
        self.deadline = NEVER
        self._front = front
        self._client = client
        self._reply = reply
        self._frames = FrameReader()
        """Of what the backend sends."""
        self._upstream: Upstream | None = None
        self._moved = False
        """Something came, from either side, since we last looked."""
        self._parting = False
        """We have sent a Close frame, behind which nothing may follow."""
        self._over = False

    @property
    def closed(self) -> bool:
        """Has a Close frame gone to the client?"""
        return self._frames.closed or self._parting

    def begin(self, head: bytes) -> None:
        """Take the transport over."""
        front, hub = self._front, self._front.hub
        hub.fronts.discard(front)
        hub.fronts.add(self)
        self.transport.set_protocol(self)
        self._upstream = self._reply.join(self)
        self._write(head)
        early = front.take_rest()
        if early:
            self.data_received(early)
        if front.stalled:
            self.pause_writing()
        else:
            self._go_on()

    def end(self) -> None:
        """The backend says nothing more. What is written still goes out; the connection is then closed by `front`."""
        self._over = True
        self._upstream = None
        limits = self._front.hub.limits
        unsent = not self.transport.is_closing() and self.transport.get_write_buffer_size() > 0
        self.deadline = self._front.hub.now + (limits.stall_seconds if unsent else limits.linger_seconds)

    # From the client.

    def data_received(self, data: bytes) -> None:
        upstream = self._upstream
        if upstream is None:
            return
        self._moved = True
        upstream.send(data)
        if upstream.blocked:
            self._front.pause_reading()
            if not self._front.stalled:  # else its time to read runs, and is not to be cut short
                self.deadline = min(self.deadline, self._front.hub.now + LOOK_SECONDS)

    def resume(self) -> None:
        """The backend takes more."""
        if not self._front.stalled:
            self._go_on()

    def stop(self) -> None:
        """The backend takes no more."""
        self._upstream = None

    def eof_received(self) -> bool:
        """A client that closes its side has left: RFC 6455 section 7.1.1 lets the server close first, so a client that
        wants to hear more does not."""
        self.transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.hub.fronts.discard(self)
        self._front.connection_lost(exc)

    # From the backend.

    def data(self, chunk: bytes) -> None:
        self._moved = True
        if not self._parting:
            self._write(chunk)
        self._frames.follow(chunk)
        tap = self._client.tap
        if tap is not None:
            tap.data(chunk)

    def pause_writing(self) -> None:
        front = self._front
        front.stalled = True
        self.deadline = front.hub.now + front.hub.limits.stall_seconds
        self._reply.pause()

    def resume_writing(self) -> None:
        self._front.stalled = False
        self._reply.resume()
        self._go_on()

    # From the listener.

    def overdue(self) -> None:
        """Nothing was read or written for a while, or too long."""
        front = self._front
        if self._over or front.stalled or self._frames.closed:
            self.transport.abort()
        elif front.paused:
            front.look()
            self.deadline = front.hub.now + LOOK_SECONDS
        else:
            if not self._moved and self._frames.between and front.hub.limits.ping_seconds:
                self._write(PING)
            self._go_on()

    def close_idle(self) -> None:
        """It is not idle."""

    def last_call(self) -> None:
        """Whoever talks may go on."""

    def cut(self) -> None:
        """Say goodbye, if the backend is not in the middle of a frame; the client has a moment to answer."""
        if self._over or self.closed:
            return
        self._client.ended = Ended.DRAINED
        if self._frames.between and not self._front.stalled:
            self._parting = True
            self._write(GOODBYE)
        else:
            self._client.cut()
            self._front.give_up()

    def _go_on(self) -> None:
        front = self._front
        if not (self._upstream is not None and self._upstream.blocked):
            front.resume_reading()
        self._moved = False
        # Looked at twice in that time, so that no silence is longer.
        self.deadline = front.hub.now + (front.hub.limits.ping_seconds or front.hub.limits.stall_seconds) / 2

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # lost in this turn of the loop, which is told in the next one
            self.transport.write(data)
