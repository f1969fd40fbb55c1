"""What all connections of a listener share, and the two ports through which they reach the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from lb.exchange import Client, Request
from lb.refusal import Head, Refusal
from lb.wire.beats import Beats
from lb.wire.request import RequestIds
from lb.wire.room import Room

Verdict = str | Refusal | None
"""The caller's name, or why it is not served; None where callers are not checked."""


class Gateway(Protocol):
    """Who serves what is read here."""

    def identify(self, head: Head) -> Verdict | Awaitable[Verdict]:
        """Who is the client? Called on the complete and valid head, before `100 Continue` and before the body.

        An awaitable where that takes a while (keys being fetched); the body waits for it.
        """

    async def handle(self, request: Request, client: Client) -> None:
        """Serve the request to its end. Cancelled when the client leaves."""


class Report(Protocol):
    """Takes one line for the operator; `facts` hold no secret and nothing that a client wrote, but for its address.

    The fact `error` is an exception, and then it is a bug of ours.
    """

    def __call__(self, event: str, **facts: object) -> None: ...


class Guest(Protocol):
    """A client connection as the listener knows it."""

    transport: asyncio.Transport
    deadline: float
    """The event loop's time when `overdue` is to be called."""

    def overdue(self) -> None: ...

    def close_idle(self) -> None:
        """Close unless something is under way."""

    def last_call(self) -> None:
        """The listener drains: what is under way is the last that happens here."""

    def cut(self) -> None:
        """Time is up, also for what is under way."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes that clients may take."""

    head_seconds: float = 30
    body_seconds: float = 60
    """Without a byte."""
    idle_seconds: float = 3660
    """Between requests. Who closes first loses the race against the next request, so it must not be us: Envoy, which
    Azure Container Apps put in front, closes an idle connection after an hour by default (`idle_timeout` in its
    HttpProtocolOptions); a minute is added."""
    stall_seconds: float = 300
    """While a reply waits for the client to read on; as long as Envoy's `stream_idle_timeout`."""
    linger_seconds: float = 5
    """After a refusal, to read what still arrives and throw it away: closing at once would reset the connection, and
    the client might never see the answer (RFC 9112 section 9.6)."""
    ping_seconds: float = 30
    """Without a byte on a WebSocket, after which its client is sent a ping; 0 for none. Azure Container Apps end what
    is silent for 240 s, many other proxies what is silent for 60."""
    replay_max: int = 32 * 1024 * 1024
    """Bytes of one body that are kept for replay."""
    kept_max: int = 512 * 1024 * 1024
    """Bytes of all bodies together, in memory."""
    memory_max: int = 1024 * 1024
    """Bytes of one body that stay in memory where there is a disk for the rest."""
    disk_max: int = 0
    """Bytes of all bodies together, on disk; 0 keeps all in memory."""
    directory: str = ""
    """Where on disk."""
    keepalive_seconds: float = 0
    """After which a silent stream of events gets a comment; 0 is never."""


class Hub:
    """See the head of this file."""

    def __init__(self, gateway: Gateway, report: Report, limits: Limits) -> None:
        self.gateway = gateway
        self.report = report
        self.limits = limits
        self.room = Room(self._not_kept)
        self._next_told = 0.0
        self.ids = RequestIds()
        self.draining = False
        """Every reply is the last one on its connection."""
        self.closing = False
        """Connections end with the request that they serve."""
        self.now = 0.0
        """The event loop's time as of the last sweep: exact enough for limits of seconds, and free to read."""
        self.beats: Beats | None = None
        self.fronts: set[Guest] = set()
        self.deserted = asyncio.Event()
        """No connection is open."""
        self.deserted.set()
        self.heed(limits)

    def heed(self, limits: Limits) -> None:
        """These hold from now on."""
        self.limits = limits
        self.room.allow(limits.replay_max, limits.memory_max, limits.kept_max, limits.disk_max, limits.directory)
        if not limits.keepalive_seconds:
            self.beats = None
        elif self.beats is None:
            self.beats = Beats(limits.keepalive_seconds, self.now)
        else:
            self.beats.seconds = limits.keepalive_seconds

    def _not_kept(self, directory: str, why: str) -> None:
        """Where one body cannot be kept the next one cannot either: it is told once a minute."""
        if self.now >= self._next_told:
            self._next_told = self.now + 60
            self.report("Large bodies are not kept for another backend", reason=why, directory=directory)
