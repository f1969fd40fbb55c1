"""The balancer between raw sockets: a client that asks for a WebSocket, and backends that answer by hand."""

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator

from lb.balancing.backend import Backend
from lb.balancing.pool import Pool
from lb.balancing.verdict import Judge
from lb.events import Event, Finished
from lb.failover import Failover
from lb.gateway import Gateway
from lb.refusal import Head
from lb.wire.hub import Limits
from lb.wire.server import Server
from lb.wire.transport import SocketTransport
from tests.wire.conftest import Key
from tests.wire.front_door import PATIENCE, RawClient, until

TARGET = b"/openai/v1/realtime?model=voice"
MASK = b"\x01\xfe\x80\x7f"
NONCE = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The pair of RFC 6455 section 1.3."""


def handshake(*fields: bytes, target: bytes = TARGET, key: bytes = NONCE) -> bytes:
    lines = (
        b"GET %b HTTP/1.1" % target, b"Host: lb", b"Upgrade: websocket", b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + key, *fields,
    )  # fmt: skip
    return b"\r\n".join(lines) + b"\r\n\r\n"


def accept_of(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())


def frame(payload: bytes, opcode: int = 1, *, final: bool = True, mask: bytes = b"") -> bytes:
    """A frame as RFC 6455 section 5.2 has it."""
    size, masked = len(payload), 0x80 if mask else 0
    head = bytes((opcode | (0x80 if final else 0),))
    if size < 126:
        head += bytes((size | masked,))
    elif size < 65536:
        head += bytes((126 | masked,)) + size.to_bytes(2)
    else:
        head += bytes((127 | masked,)) + size.to_bytes(8)
    if mask:
        whole = mask * (size // 4 + 1)
        payload = (int.from_bytes(payload) ^ int.from_bytes(whole[:size])).to_bytes(size)
    return head + mask + payload


def close(code: int, reason: bytes = b"", mask: bytes = b"") -> bytes:
    return frame(code.to_bytes(2) + reason, 8, mask=mask)


class Accepted:
    """One connection that the balancer opened, from the handshake on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.reader, self.writer, self.head = reader, writer, head
        self.fields = {
            name.lower(): value for name, _, value in (line.partition(b": ") for line in head[:-4].split(b"\r\n")[1:])
        }

    async def grant(self, *fields: bytes, behind: bytes = b"") -> None:
        lines = (
            b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + accept_of(self.fields[b"sec-websocket-key"]), *fields,
        )  # fmt: skip
        await self.send(b"\r\n".join(lines) + b"\r\n\r\n" + behind)

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), PATIENCE)


class ManualBackend:
    """Accepts connections, reads a head from each, and leaves the rest to the test."""

    def __init__(self) -> None:
        self.url = ""
        self.opened = 0
        self._arrived: asyncio.Queue[Accepted] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, tls: ssl.SSLContext | None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self._arrived.put_nowait(Accepted(reader, writer, await reader.readuntil(b"\r\n\r\n")))

    async def accepted(self) -> Accepted:
        return await asyncio.wait_for(self._arrived.get(), PATIENCE)

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()


class Between:
    """The balancer, one or more manual backends behind it, and what it told."""

    def __init__(self, backends: list[ManualBackend], idle: float, ca_file: str | None, **limits: float) -> None:
        clock = asyncio.get_running_loop().time
        self.backends = backends
        self.facts: list[Event] = []
        self.transport = SocketTransport(Key(), clock, idle_seconds=idle, ca_file=ca_file)
        these = [Backend(f"b{n}", backend.url, priority=n, api_key="k") for n, backend in enumerate(backends, 1)]
        self.pool = Pool(these, self.facts.append)
        failover = Failover(self.pool, self.transport, Judge(lambda: 0.0), clock, self.facts.append)
        self.gateway = Gateway(self.identify, failover, clock, self.facts.append)
        self.server = Server(self.gateway, lambda event, **facts: None, Limits(**limits))  # type: ignore[arg-type]
        self.heads: list[Head] = []
        self._clients: list[RawClient] = []

    def identify(self, head: Head) -> None:
        self.heads.append(head)

    async def connect(self) -> RawClient:
        reader, writer = await asyncio.open_connection(*self.server.addresses[0], limit=64 * 1024)
        self._clients.append(RawClient(reader, writer))
        return self._clients[-1]

    async def open(self, *fields: bytes, grant: tuple[bytes, ...] = ()) -> tuple[RawClient, Accepted]:
        """A client and the backend's side of its WebSocket."""
        client = await self.connect()
        await client.send(handshake(*fields))
        accepted = await self.backends[0].accepted()
        await accepted.grant(*grant)
        answer = await client.head()
        assert answer.status == 101, answer.head
        return client, accepted

    async def finished(self) -> Finished:
        """How the one request ended."""
        await until(lambda: isinstance(self.facts[-1], Finished))
        told = self.facts[-1]
        assert isinstance(told, Finished)
        return told

    async def stop(self) -> None:
        for client in self._clients:
            client.close()
        await self.server.close()
        self.transport.close()
        for backend in self.backends:
            backend.close()
        assert self.server.connections == 0
        await until(lambda: {row.in_flight for row in self.pool.snapshot(0.0)} <= {0})


@contextlib.asynccontextmanager
async def between(
    count: int = 1, idle: float = 240.0, tls: ssl.SSLContext | None = None, ca_file: str | None = None, **limits: float
) -> AsyncIterator[Between]:
    backends = [ManualBackend() for _ in range(count)]
    for backend in backends:
        await backend.start(tls)
    stage = Between(backends, idle, ca_file, **limits)
    await stage.server.start()
    try:
        yield stage
    finally:
        await stage.stop()
