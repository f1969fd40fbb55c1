"""What a client connection is besides its requests: reading that stops and goes on, a deadline, and an orderly end."""

import asyncio
import select
from abc import ABC
from typing import Final, cast

from lb.refusal import Refusal
from lb.wire.headers import own_head
from lb.wire.hub import Hub

NEVER: Final = float("inf")
JSON = (b"Content-Type", b"application/json")
_CLOSE = b"Connection: close\r\n"
LOOK_SECONDS: Final = 1.0
"""How often a client that we do not read from is asked whether it is still there."""
_HAS_LEFT: Final = getattr(select, "POLLRDHUP", 0)
"""Linux tells of an end behind bytes that nobody has read; elsewhere only a reset is seen so."""


# What a connection is at. Plain numbers: each request compares them a dozen times, which an Enum makes dear.
WAITING: Final = 0
"""For a head."""
ASKING: Final = 1
"""Who the client is."""
READING: Final = 2
"""A body that is kept."""
SERVING: Final = 3
"""A request; its body may still be streaming in."""
LINGERING: Final = 4
"""Answered for the last time; what still arrives is thrown away."""
CLOSED: Final = 5
"""To the client, though what was written may still be on its way."""


class Line(asyncio.Protocol, ABC):
    """The part of `Front` that knows nothing of requests."""

    __slots__ = ("deadline", "hub", "paused", "peer", "phase", "stalled", "transport")

    transport: asyncio.Transport

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.phase = WAITING
        self.peer = ""
        self.paused = False
        """We do not read for now."""
        self.stalled = False
        """The client does not read for now."""
        self.deadline = hub.now + hub.limits.head_seconds
        """The event loop's time when `overdue` is to be called."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""

    def pause_reading(self) -> None:
        if not self.paused and not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.paused and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()

    def look(self) -> None:
        """End the connection if the client has left. To be asked while we do not read: the event loop cannot tell."""
        self.deadline = self.hub.now + LOOK_SECONDS
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            poll = select.poll()
            poll.register(sock.fileno(), _HAS_LEFT)
            if poll.poll(0):
                self.transport.abort()

    def write_refusal(self, refusal: Refusal, bodiless: bool) -> None:
        """Write a final answer, after which the connection ends."""
        body = refusal.body
        head = own_head(refusal.status, (JSON, *refusal.headers), len(body), _CLOSE)
        self.transport.write(head if bodiless else head + body)

    def finish(self, *, linger: bool) -> None:
        """Close once everything is written. With `linger` only our direction, and read on for a moment: unread bytes
        would reset the connection, and the client might never see what was written (RFC 9112 section 9.6)."""
        limits = self.hub.limits
        self.phase = LINGERING if linger else CLOSED
        unsent = self.transport.get_write_buffer_size() > 0
        self.deadline = self.hub.now + (limits.stall_seconds if unsent else limits.linger_seconds)
        if not linger:
            self.transport.close()
        elif not self.transport.is_closing():
            self.resume_reading()
            self.transport.write_eof()
