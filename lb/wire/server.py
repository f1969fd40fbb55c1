"""The traffic listener: opens, drains, closes."""

import asyncio
import socket

from lb.wire.acceptor import Acceptor, Ahead
from lb.wire.front import Front
from lb.wire.hub import Gateway, Hub, Limits, Report

_SWEEP_SECONDS = 1.0
"""At most; a limit is exceeded by a tenth of the shortest one, or by this."""
_MOMENT_SECONDS = 1.0
"""For which a draining listener still accepts: those in front of us notice `/readyz` late."""
_BACKLOG = 4096


class Server:
    """Accepts clients for a gateway."""

    def __init__(self, gateway: Gateway, report: Report, limits: Limits | None = None) -> None:
        self._hub = Hub(gateway, report, limits or Limits())
        self._servers: list[asyncio.Server | Acceptor] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self._hub.fronts)

    @property
    def draining(self) -> bool:
        return self._hub.draining

    @property
    def kept_bytes(self) -> int:
        """Of request bodies in memory."""
        return self._hub.room.memory.used

    @property
    def spooled_bytes(self) -> int:
        """Of request bodies on disk."""
        disk = self._hub.room.disk
        return 0 if disk is None else disk.budget.used

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listening socket."""
        return [sock.getsockname()[:2] for server in self._servers for sock in server.sockets]

    @property
    def limits(self) -> Limits:
        """What clients may take; may be replaced at any time, for what begins from then on."""
        return self._hub.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._hub.heed(limits)

    async def start(
        self,
        sock: socket.socket | None = None,
        *,
        host: str | list[str] = "127.0.0.1",
        port: int = 0,
        ahead: Ahead | None = None,
    ) -> None:
        """Listen on a bound socket, or on one host or several and a port. Raises `OSError` where that cannot be.

        With `ahead` other workers listen on the same socket.
        """
        loop = asyncio.get_running_loop()
        self._hub.now = loop.time()
        if sock is not None and ahead is not None:
            self._servers.append(Acceptor(sock, self._front, lambda: self.connections, ahead))
        elif sock is not None:
            self._servers.append(await loop.create_server(self._front, sock=sock, backlog=_BACKLOG))
        else:
            self._servers.append(await loop.create_server(self._front, host, port, backlog=_BACKLOG))
        for server in self._servers:
            for listening in server.sockets:
                _notice_the_dead(listening)
        self._sweep()

    async def drain(self, seconds: float, moment: float = _MOMENT_SECONDS) -> None:
        """Take no new work, let what is under way finish, cut what has not after `seconds`. Then it is closed."""
        hub = self._hub
        hub.draining = True
        for front in tuple(hub.fronts):
            front.last_call()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        await asyncio.sleep(min(moment, seconds))  # noqa: TID251 - the moment is the point
        hub.closing = True
        self._stop_listening()
        for front in tuple(hub.fronts):
            front.close_idle()
        await self._wait_deserted(end - loop.time())
        await self.close()

    async def close(self) -> None:
        """Cut what is under way and close."""
        self._hub.draining = self._hub.closing = True
        self._stop_listening()
        for front in tuple(self._hub.fronts):
            front.cut()
        await self._wait_deserted(_SWEEP_SECONDS)
        for front in tuple(self._hub.fronts):
            front.transport.abort()
        await self._wait_deserted(_SWEEP_SECONDS)
        if self._timer is not None:
            self._timer.cancel()
        if self._hub.room.disk is not None:
            self._hub.room.disk.close()

    def _front(self) -> Front:
        return Front(self._hub)

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _wait_deserted(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._hub.deserted.wait()
        except TimeoutError:
            pass

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._hub.now = now = loop.time()
        for front in [front for front in self._hub.fronts if front.deadline < now]:
            front.overdue()
        limits = self._hub.limits
        pings = limits.ping_seconds or limits.stall_seconds
        shortest = min(limits.head_seconds, limits.body_seconds, limits.idle_seconds, limits.stall_seconds, pings)
        if self._hub.beats is not None:
            self._hub.beats.look(now)
            shortest = min(shortest, limits.keepalive_seconds)
        self._timer = loop.call_later(min(_SWEEP_SECONDS, shortest / 10, limits.linger_seconds / 2), self._sweep)


def _notice_the_dead(listening: socket.socket) -> None:
    """Let the kernel ask clients that say nothing for a minute whether they are there; accepted sockets inherit it.

    A client that vanished without a FIN, while its backend says nothing either, would hold its slot for ever.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        option = getattr(socket, name, None)  # not on every system
        if option is not None and listening.family in (socket.AF_INET, socket.AF_INET6):
            listening.setsockopt(socket.IPPROTO_TCP, option, value)
