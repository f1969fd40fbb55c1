"""Sends requests to backends: implements `lb.exchange.Transport` on sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Final, Protocol

from lb.balancing.backend import Backend
from lb.exchange import BodyStream, ClientGone, Reply, Request
from lb.wire.address import Address
from lb.wire.connection import Stale
from lb.wire.connections import Connections, Counters
from lb.wire.dial import Dialer
from lb.wire.request_writer import render_head, write
from lb.wire.sweep import Sweep
from lb.wire.tls import backend_context
from lb.wire.tunnel import Proxy

RECENT_SECONDS: Final = 2.0
"""Nobody closes a connection that was used within these: servers wait at least 5 s for the next request."""


class Credential(Protocol):
    """What a backend is told about who we are."""

    def ready(self, backend: Backend) -> bytes | None:
        """The rendered header line, e.g. `b"api-key: k\\r\\n"`, or None when it has to be waited for."""

    async def fetch(self, backend: Backend) -> bytes:
        """The same after a wait. Raises `BackendFailed` with `Blame.TOKEN`."""


class SocketTransport:
    """One for the process: its pools outlive a reload of the configuration, since they are kept by URL."""

    def __init__(
        self,
        credential: Credential,
        clock: Callable[[], float],
        *,
        idle_seconds: float = 240.0,
        connect_seconds: float = 10.0,
        keep_seconds: float = 60.0,
        lifetime_seconds: float = 600.0,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        """`idle_seconds` is the limit for a backend that owes us a reply and sends nothing; `keep_seconds` stays below
        the time after which Azure closes an unused connection.

        Raises `OSError` when `ca_file` cannot be used.
        """
        self.counters = Counters()
        self._credential = credential
        self._sweep = Sweep(clock, idle_seconds, keep_seconds, lifetime_seconds)
        self._dialer = Dialer(connect_seconds, backend_context(ca_file), proxy)
        self._pools: dict[str, Connections] = {}

    async def send(self, backend: Backend, request: Request, target: bytes, body: bytes | BodyStream) -> Reply:
        line = self._credential.ready(backend)
        if line is None:
            line = await self._credential.fetch(backend)
        pool = self._pools.get(backend.url) or self._pool(backend.url)
        head = render_head(pool.address, line, request, target, body)
        # What can be sent only once is not risked on a connection that may turn out stale.
        connection = pool.take(RECENT_SECONDS if request.once else inf) if isinstance(body, bytes) else None
        while True:
            if connection is None:
                connection = await pool.open()
            waiter = connection.begin(request.method == "HEAD", request.interim, request.handshake)
            try:
                write(connection, head, body, request.chunked)
                return await waiter
            except Stale:
                if request.once:
                    raise  # it may have arrived all the same
                self.counters.replaced += 1
                connection = None
            except BaseException:
                connection.forget(waiter)
                raise

    @property
    def open_connections(self) -> int:
        """In use or waiting for use."""
        return len(self._sweep.connections)

    def retire(self, urls: Iterable[str]) -> None:
        """These backends are gone: close their unused connections; requests under way run to their end."""
        for url in urls:
            pool = self._pools.pop(url, None)
            if pool is not None:
                pool.retire()

    def close(self) -> None:
        """Close every connection, also those in use."""
        self.retire(tuple(self._pools))
        for connection in tuple(self._sweep.connections):
            connection.throw(ClientGone("the balancer is closing"))

    def _pool(self, url: str) -> Connections:
        pool = self._pools[url] = Connections(Address.parse(url), self._dialer, self._sweep, self.counters)
        return pool
