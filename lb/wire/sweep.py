"""One coarse, periodic look at every open connection, instead of a timer for each read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from lb.exchange import Blame

if TYPE_CHECKING:
    from lb.wire.connection import Connection


class Sweep:
    """Ends what was silent, or was kept, for too long; late by a quarter of the shortest limit or 2 s, at most.

    A connection only sets a flag when something moves. All seconds are counted in ticks of at most twice the
    period, so that a loop that stood still does not make every backend look silent.
    """

    __slots__ = ("_clock", "_keep", "_last", "_lifetime", "_period", "_silence", "_timer", "connections")

    def __init__(self, clock: Callable[[], float], silence: float, keep: float, lifetime: float) -> None:
        """In seconds: `silence` of a backend that owes us a reply, `keep` for an unused connection, and `lifetime`
        after which a connection takes no further request, so that changes in DNS are seen."""
        self._clock = clock
        self._silence = silence
        self._keep = keep
        self._lifetime = lifetime
        self._period = min(1.0, min(silence, keep, lifetime) / 10)
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        self.connections: set[Connection] = set()

    def watch(self, connection: Connection) -> None:
        self.connections.add(connection)
        if self._timer is None:
            self._last = self._clock()
            self._arm()

    def unwatch(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """One sweep."""
        now = self._clock()
        elapsed = min(now - self._last, 2 * self._period)
        self._last = now
        for connection in tuple(self.connections):
            self._judge(connection, elapsed)

    def _judge(self, connection: Connection, elapsed: float) -> None:
        idle = connection.idle
        connection.age += elapsed
        if connection.age >= self._lifetime:
            connection.expired = True
            if idle:
                connection.abandon()
                return
        # While an upload waits for the client, or the client for us, the backend's silence is not its fault.
        waits = connection.paused or (connection.upload is not None and not connection.blocked)
        if connection.heard or waits:
            connection.heard = False
            connection.quiet = 0.0
            return
        connection.quiet += elapsed
        if idle and connection.quiet >= self._keep:
            connection.abandon()
        elif not idle and connection.quiet >= self._silence:
            connection.fail(Blame.SILENT, f"sent nothing for {self._silence:g} s")

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._period, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.look()
        if self.connections:
            self._arm()
