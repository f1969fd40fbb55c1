"""The way to a backend, one step after the other: name, connection, tunnel, TLS."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import floor
from typing import Any

import aiohappyeyeballs

from lb.checking.step import Finding, Step, bad, doubtful, good
from lb.exchange import BackendFailed
from lb.wire.address import Address
from lb.wire.tls import explain
from lb.wire.tunnel import Proxy, connect_through

FEW_DAYS = 15
"""Fewer days than this, and a certificate that renews itself would have been renewed."""
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Way:
    """How to get there."""

    address: Address
    proxy: Proxy | None
    context: ssl.SSLContext
    seconds: float
    """The limit of each step."""
    wall: Callable[[], float]
    """Seconds since the epoch."""

    @property
    def first(self) -> tuple[str, int]:
        """Who is connected to."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.address.host, self.address.port)


async def walk(way: Way) -> list[Step]:
    """All steps up to the first that fails. Leaves no connection behind."""
    steps: list[Step] = []
    found: list[Any] = []
    socks: list[socket.socket] = []

    async def resolve() -> Finding:
        found.extend(await _resolve(way))
        return good(", ".join(dict.fromkeys(str(item[4][0]) for item in found)) + (" (proxy)" if way.proxy else ""))

    async def connect() -> Finding:
        socks.append(await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=0.25))
        return good(f"port {way.first[1]}" + (" of the proxy" if way.proxy else ""))

    async def tunnel() -> Finding:
        assert way.proxy is not None  # noqa: S101 - the plan has this step only then
        await connect_through(way.proxy, socks[0], way.address.host, way.address.port)
        return good(f"{way.proxy.host} lets us through to {way.address.name}")

    async def handshake() -> Finding:
        return _days_left(await _certificate(way, socks.pop()), way.wall())

    plan = [("DNS", resolve), ("TCP", connect)]
    plan += [("proxy", tunnel)] if way.proxy else []
    plan += [("TLS", handshake)] if way.address.tls else []
    try:
        for name, ask in plan:
            finding, seconds = await timed(ask, way.seconds)
            steps.append(Step(name, finding, seconds))
            if finding.mark is finding.mark.BAD:
                break
    finally:
        for sock in socks:
            sock.close()
    return steps


async def timed(ask: Callable[[], Awaitable[Finding]], limit: float) -> tuple[Finding, float]:
    """The finding, a failure being one, too, and how long it took in seconds."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    try:
        async with asyncio.timeout(limit):
            finding = await ask()
    except TimeoutError:
        finding = bad(f"no answer within {limit:g} s")
    except BackendFailed as failed:
        finding = bad(failed.detail)
    except ssl.SSLError as failed:
        finding = bad(explain(failed))
    except socket.gaierror as failed:
        finding = bad(f"the name cannot be resolved: {failed.strerror}")
    except ConnectionRefusedError:
        finding = bad("refused: nothing listens there")
    except OSError as failed:
        finding = bad(failed.strerror or str(failed) or type(failed).__name__)
    return finding, clock() - begun


async def _resolve(way: Way) -> list[Any]:
    host, port = way.first
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _certificate(way: Way, sock: socket.socket) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_connection(
            asyncio.Protocol, sock=sock, ssl=way.context, server_hostname=way.address.host
        )
    except BaseException:
        sock.close()
        raise
    try:
        return dict(transport.get_extra_info("peercert") or {})
    finally:
        transport.abort()


def _days_left(certificate: dict[str, Any], now: float) -> Finding:
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = floor((ends - now) / _DAY)
    text = f"certificate good for {days} more day{'' if days == 1 else 's'}"
    return good(text) if days >= FEW_DAYS else doubtful(text)
