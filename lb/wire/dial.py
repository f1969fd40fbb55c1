"""New connections to a backend: name, TCP, proxy, TLS, within one limit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

import aiohappyeyeballs

from lb.exchange import BackendFailed, Blame
from lb.wire.address import Address
from lb.wire.connection import Connection
from lb.wire.tls import explain
from lb.wire.tunnel import Proxy, connect_through

_NEXT_ADDRESS_SECONDS: Final = 0.25
"""How long one address may be tried before the next is tried beside it (RFC 8305 section 5)."""
_OPTIONS: Final = [
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    # Azure's outbound NAT forgets a flow after four silent minutes, and a long completion is silent that long.
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
    # A peer that has vanished is noticed after 30 s without an acknowledgement, not after the kernel's 15 minutes.
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 30_000),
]


class Dialer:
    """Opens connections. A dial is rare, so it has a timer of its own."""

    __slots__ = ("_context", "_proxy", "_seconds")

    def __init__(self, seconds: float, context: ssl.SSLContext, proxy: Proxy | None) -> None:
        """`seconds` is the limit for everything up to the end of the TLS handshake."""
        self._seconds = seconds
        self._context = context
        self._proxy = proxy

    async def dial(self, address: Address, factory: Callable[[], Connection]) -> Connection:
        """Raises `BackendFailed`: nothing has been sent then."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._connect(address, factory)
        except ssl.SSLError as error:
            raise BackendFailed(Blame.TLS, f"{address.name}: {explain(error)}") from error
        except TimeoutError as error:
            raise BackendFailed(Blame.CONNECT, f"no connection to {address.name} within {self._seconds:g} s") from error

    async def _connect(self, address: Address, factory: Callable[[], Connection]) -> Connection:
        proxy = self._proxy if address.tls else None
        if proxy is not None and proxy.skips(address.host, address.port):
            proxy = None
        if proxy is None:
            sock = await _open(address.host, address.port, address.name)
        else:
            sock = await _open(proxy.host, proxy.port, f"the proxy {proxy.host}:{proxy.port}")
        try:
            if proxy is not None:
                await connect_through(proxy, sock, address.host, address.port)
            return await self._wrap(sock, address, factory)
        except (ssl.SSLError, TimeoutError):
            raise
        except OSError as error:
            detail = f"{address.name} ended the connection in its TLS handshake" if address.tls else f"{address.name}"
            raise BackendFailed(Blame.TLS if address.tls else Blame.CONNECT, f"{detail}: {error}") from error
        except BaseException:
            sock.close()
            raise

    async def _wrap(self, sock: socket.socket, address: Address, factory: Callable[[], Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        if not address.tls:
            _, connection = await loop.create_connection(factory, sock=sock)
            return connection
        limit = self._seconds + 1  # ours comes first
        _, connection = await loop.create_connection(
            factory, sock=sock, ssl=self._context, server_hostname=address.host, ssl_handshake_timeout=limit
        )
        return connection


async def _open(host: str, port: int, name: str) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise BackendFailed(Blame.CONNECT, f"the name {host} cannot be resolved: {error.strerror}") from error
    try:
        sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
    except ConnectionRefusedError as error:
        raise BackendFailed(Blame.CONNECT, f"{name} refused the connection") from error
    except TimeoutError:
        raise
    except OSError as error:
        raise BackendFailed(Blame.CONNECT, f"no connection to {name}: {error.strerror or error}") from error
    for level, option, value in _OPTIONS:
        if hasattr(socket, option):  # not every system has all of them
            with contextlib.suppress(OSError):
                sock.setsockopt(level, getattr(socket, option), value)
    return sock
