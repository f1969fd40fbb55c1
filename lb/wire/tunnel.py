"""Backends behind an HTTP proxy: CONNECT (RFC 9110 section 9.3.6), and which hosts go without it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from lb.exchange import BackendFailed, Blame

_REPLY_LIMIT: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """What `HTTPS_PROXY` and `NO_PROXY` say."""

    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)
    """The rendered `Proxy-Authorization` line, or nothing."""
    exceptions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, url: str, no_proxy: str = "") -> Proxy:
        """From `[http://][user:password@]host[:port]`. Raises `ValueError` with a message for the operator."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http":
            raise ValueError(f"a proxy reached by {parts.scheme}:// is not supported, only http://")
        if not parts.hostname:
            raise ValueError("the proxy's host is missing")
        line = b""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            line = b"Proxy-Authorization: Basic %b\r\n" % b64encode(pair)
        exceptions = tuple(part.strip().lower() for part in no_proxy.split(",") if part.strip())
        return cls(parts.hostname, parts.port or 80, line, exceptions)

    def skips(self, host: str, port: int) -> bool:
        """Is this host to be reached without the proxy?"""
        return any(_covers(exception, host.lower(), port) for exception in self.exceptions)


def _covers(exception: str, host: str, port: int) -> bool:
    """`*`, a name that also stands for what is below it (with or without a leading `.` or `*.`), an address or a
    network, each but the last with an optional port."""
    if exception == "*":
        return True
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(exception.strip("[]"), strict=False)
        except ValueError:
            pass
    name, colon, digits = exception.rpartition(":")
    if colon and digits.isdigit():
        if int(digits) != port:
            return False
        exception = name.strip("[]")
    exception = exception.removeprefix("*").removeprefix(".")
    return host == exception or (address is None and host.endswith(f".{exception}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def connect_through(proxy: Proxy, sock: socket.socket, host: str, port: int) -> None:
    """Ask the proxy at the other end of `sock` for a tunnel. Raises `BackendFailed` when it grants none."""
    loop = asyncio.get_running_loop()
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name = authority.encode()
    await loop.sock_sendall(sock, b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (name, name, proxy.authorization))
    reply = b""
    while b"\r\n\r\n" not in reply:
        piece = await loop.sock_recv(sock, 4096)
        reply += piece
        if not piece or len(reply) > _REPLY_LIMIT:
            raise _refused(proxy, authority, "did not answer as a proxy does")
    version, _, rest = reply.partition(b" ")
    status = rest[:3].decode("latin-1")
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise _refused(proxy, authority, "did not answer as a proxy does")
    if status == "407":
        raise _refused(proxy, authority, "asks for other credentials (407)")
    if not status.startswith("2"):
        raise _refused(proxy, authority, f"answered {status}")
    if not reply.endswith(b"\r\n\r\n"):  # TLS servers do not speak first
        raise _refused(proxy, authority, "sent more than its answer")


def _refused(proxy: Proxy, authority: str, what: str) -> BackendFailed:
    return BackendFailed(Blame.CONNECT, f"no tunnel to {authority}: the proxy {proxy.host}:{proxy.port} {what}")
