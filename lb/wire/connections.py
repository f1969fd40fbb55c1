"""The open connections to one backend: the one used last is used first, so that the surplus of a burst ages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf

from lb.wire.address import Address
from lb.wire.connection import Connection
from lb.wire.dial import Dialer
from lb.wire.sweep import Sweep


@dataclass(slots=True)
class Counters:
    """Since the start, over all backends."""

    opened: int = 0
    reused: int = 0
    replaced: int = 0
    """Reused connections that turned out stale."""
    handshakes: int = 0
    """TLS handshakes: rare while reuse works."""


class Connections:
    """As many as there are requests at once; those without one wait here. Implements `connection.Home`."""

    __slots__ = ("_counters", "_dialer", "_idle", "_retired", "_sweep", "address")

    def __init__(self, address: Address, dialer: Dialer, sweep: Sweep, counters: Counters) -> None:
        self.address = address
        self._dialer = dialer
        self._sweep = sweep
        self._counters = counters
        self._idle: dict[Connection, None] = {}  # a stack from which the middle can leave
        self._retired = False

    def take(self, quiet: float = inf) -> Connection | None:
        """The idle connection that was used last, if there is one that was quiet for no longer than these seconds."""
        while self._idle:
            connection = self._idle.popitem()[0]
            if connection.quiet > quiet:
                self._idle[connection] = None
                return None
            if connection.transport.is_closing():
                connection.abandon()
                continue
            self._counters.reused += 1
            return connection
        return None

    async def open(self) -> Connection:
        """A new connection. Raises `BackendFailed`."""
        connection = Connection(asyncio.get_running_loop(), self, self.address.name)
        await self._dialer.dial(self.address, connection)
        self._sweep.watch(connection)
        self._counters.opened += 1
        self._counters.handshakes += self.address.tls
        return connection

    def free(self, connection: Connection) -> None:
        if self._retired:
            connection.abandon()
        else:
            self._idle[connection] = None

    def lost(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._sweep.unwatch(connection)

    def retire(self) -> None:
        """Keep nothing from now on; requests under way run to their end."""
        self._retired = True
        for connection in tuple(self._idle):
            connection.abandon()
