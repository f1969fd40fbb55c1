"""New connections to a backend: name, TCP, proxy, TLS, within one limit."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
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
    # Azure's outbound NAT forgets a flow after four silent minutes, and a long completion may be silent that long;
    # and a backend that has vanished is noticed after two.
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
]
_FILES: Final = (errno.EMFILE, errno.ENFILE)
_SHORTAGES: Final = {
    **dict.fromkeys(_FILES, "no more files can be opened here: raise the limit, `ulimit -n`"),
    errno.EADDRNOTAVAIL: "no port is free here for another connection to it",
    errno.ENOBUFS: "this machine has no memory left for sockets",
    errno.ENOMEM: "this machine has no memory left",
}
"""What a connection can lack that is no backend's fault."""


class Dialer:
    """Opens connections. A dial is rare, so it has a timer of its own."""

    __slots__ = ("_context", "_proxy", "_seconds")

    def __init__(self, seconds: float, context: ssl.SSLContext, proxy: Proxy | None) -> None:
        """`seconds` is the limit for everything up to the end of the TLS handshake."""
        self._seconds = seconds
        self._context = context
        self._proxy = proxy

    async def dial(self, address: Address, connection: Connection) -> None:
        """Open `connection`. Raises `BackendFailed`: nothing has been sent then."""
        try:
            async with asyncio.timeout(self._seconds):
                sock = await self._reach(address)
                await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
                if address.tls:
                    await self._secure(address, connection)
        except TimeoutError as error:
            raise BackendFailed(Blame.CONNECT, f"no connection to {address.name} within {self._seconds:g} s") from error

    async def _reach(self, address: Address) -> socket.socket:
        """A socket whose other end is the backend."""
        proxy = self._proxy
        if proxy is None or not address.tls or proxy.skips(address.host, address.port):
            return await _open(address.host, address.port, address.name)
        name = f"the proxy {proxy.host}:{proxy.port}"
        sock = await _open(proxy.host, proxy.port, name)
        try:
            await connect_through(proxy, sock, address.host, address.port)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise BackendFailed(Blame.CONNECT, f"{name} ended the connection: {error}") from error
            raise
        return sock

    async def _secure(self, address: Address, connection: Connection) -> None:
        bare = connection.transport
        limit = self._seconds + 1  # ours comes first
        try:
            secure = await asyncio.get_running_loop().start_tls(
                bare, connection, self._context, server_hostname=address.host, ssl_handshake_timeout=limit
            )
            if secure is None:
                raise ConnectionResetError("it ended the connection")
        except BaseException as error:
            bare.abort()
            if isinstance(error, ssl.SSLError):
                raise BackendFailed(Blame.TLS, f"{address.name}: {explain(error)}") from error
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise BackendFailed(Blame.TLS, f"{address.name}: the TLS handshake was cut short: {error}") from error
            raise
        connection.transport = secure


async def _open(host: str, port: int, name: str) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        check_shortage(error, name)
        raise BackendFailed(Blame.CONNECT, f"the name {host} cannot be resolved: {error.strerror or error}") from error
    try:
        sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
    except ConnectionRefusedError as error:
        raise BackendFailed(Blame.CONNECT, f"{name} refused the connection") from error
    except TimeoutError:
        raise
    except OSError as error:
        check_shortage(error, name)
        raise BackendFailed(Blame.CONNECT, f"no connection to {name}: {error.strerror or error}") from error
    for level, option, value in _OPTIONS:
        if hasattr(socket, option):  # not every system has all of them
            with contextlib.suppress(OSError):
                sock.setsockopt(level, getattr(socket, option), value)
    return sock


def check_shortage(error: OSError, name: str) -> None:
    """Raises `BackendFailed` with `Blame.OURS` where it is this machine that is short of something."""
    number = error.errno
    if number not in _SHORTAGES and _out_of_files():  # a resolver only says that it failed
        number = errno.EMFILE
    why = _SHORTAGES.get(number or 0)
    if why is not None:
        raise BackendFailed(Blame.OURS, f"no connection to {name}: {why}") from error


def _out_of_files() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in _FILES
    return False
