"""The traffic listener with a scripted gateway behind it, and raw clients in front of it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from lb.exchange import BackendFailed, Blame, Client, Headers, Receiver, Request
from lb.refusal import Head
from lb.wire.hub import Limits, Verdict
from lb.wire.server import Server

PATIENCE = 30
"""Seconds after which a test has failed; nothing here takes that long, also where the machine is busy."""
GOOD = b"POST /openai/v1/responses HTTP/1.1\r\nHost: lb\r\nContent-Length: 2\r\n\r\n{}"


class ScriptedReply:
    """A backend's reply that arrives as the test says."""

    def __init__(
        self, *pieces: bytes, status: int = 200, headers: Headers = (), length: int | None = None, ended: bool = True
    ) -> None:
        self.status = status
        self.reason = b"OK"
        self.raw = b""
        self.headers = headers if length is None else (*headers, (b"Content-Length", b"%d" % length))
        self.length = length
        self.ended = ended
        self.closed = False
        self.reading = True
        self.changed = asyncio.Event()
        self._pieces = list(pieces)
        self._failure: BackendFailed | None = None

    def feed(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.changed.set()

    def end(self) -> None:
        self.ended = True
        self.changed.set()

    def fail(self) -> None:
        self._failure = BackendFailed(Blame.LOST, "cut by the test")
        self.changed.set()

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    async def more(self) -> bytes:
        return b""

    def whole(self) -> bytes | None:
        if not self.ended or self._failure is not None:
            return None
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    async def relay(self, receiver: Receiver) -> None:
        while True:
            while self._pieces:
                receiver.data(self._pieces.pop(0))
            if self._failure is not None:
                raise self._failure
            if self.ended:
                return
            self.changed.clear()
            await self.changed.wait()

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closed = True


Serve = Callable[[Request, Client], Awaitable[None]]


async def answer_with_length(request: Request, client: Client) -> None:
    """Says how many bytes of body came."""
    client.answer(200, ((b"Content-Type", b"text/plain"),), b"%d" % len(await whole(request)))


async def whole(request: Request) -> bytes:
    if isinstance(request.body, bytes):
        return request.body
    return b"".join([piece async for piece in request.body])


def relaying(reply: ScriptedReply, extra: bytes = b"") -> Serve:
    async def serve(request: Request, client: Client) -> None:
        await client.relay(reply, extra)

    return serve


@dataclass
class ScriptedGateway:
    """Keeps what it was given, and serves as the test says."""

    serve: Serve = answer_with_length
    verdict: Callable[[Head], Verdict | Awaitable[Verdict]] = lambda head: None
    heads: list[Head] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[str] = field(default_factory=list)
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def identify(self, head: Head) -> Verdict | Awaitable[Verdict]:
        self.heads.append(head)
        return self.verdict(head)

    async def handle(self, request: Request, client: Client) -> None:
        self.requests.append(request)
        self.clients.append(client)
        self.arrived.set()
        how = "crashed"
        try:
            await self.serve(request, client)
            how = "served"
        except BackendFailed:
            how = "cut"
        except asyncio.CancelledError:
            how = "cancelled"
            raise
        finally:
            self.ended.append(how)
            self.settled.set()


@dataclass
class Answer:
    status: int
    head: bytes
    fields: dict[bytes, bytes]
    body: bytes


class RawClient:
    """One connection, and what is read from it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def head(self) -> Answer:
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        lines = raw[:-4].split(b"\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
        return Answer(int(lines[0].split()[1]), raw, fields, b"")

    async def answer(self, *, bodiless: bool = False) -> Answer:
        answer = await self.head()
        if bodiless or answer.status in (100, 204, 304):
            return answer
        if b"content-length" in answer.fields:
            answer.body = await self.exactly(int(answer.fields[b"content-length"]))
        elif b"transfer-encoding" in answer.fields:
            answer.body = await self.chunks()
        else:
            answer.body = await self.rest()
        return answer

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)

    async def chunk(self) -> bytes:
        line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), PATIENCE)
        piece = await self.exactly(int(line, 16) + 2)
        assert piece.endswith(b"\r\n")
        return piece[:-2]

    async def chunks(self) -> bytes:
        body = b""
        while piece := await self.chunk():
            body += piece
        return body

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    async def ask(self, raw: bytes) -> Answer:
        await self.send(raw)
        return await self.answer()

    def close(self) -> None:
        self.writer.close()


class Door:
    """A listener and its gateway; `reports` is what it told the operator."""

    def __init__(self, **limits: float) -> None:
        self.gateway = ScriptedGateway()
        self.reports: list[tuple[str, dict[str, object]]] = []
        self.server = Server(self.gateway, self._report, Limits(**limits))  # type: ignore[arg-type]
        self._clients: list[RawClient] = []

    def _report(self, event: str, **facts: object) -> None:
        self.reports.append((event, facts))

    @property
    def address(self) -> tuple[str, int]:
        return self.server.addresses[0]

    async def connect(self, *, receive: int = 1024 * 1024) -> RawClient:
        """A client that reads ahead by about `receive` bytes."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        reader, writer = await asyncio.open_connection(sock=sock, limit=receive)
        self._clients.append(RawClient(reader, writer))
        return self._clients[-1]

    async def ask(self, raw: bytes) -> Answer:
        """On a connection of its own."""
        client = await self.connect()
        try:
            return await client.ask(raw)
        finally:
            client.close()

    async def send_and_read_all(self, raw: bytes) -> bytes:
        client = await self.connect()
        try:
            await client.send(raw)
            return await client.rest()
        finally:
            client.close()

    async def close(self) -> None:
        for client in self._clients:
            client.close()
        await self.server.close()


@contextlib.asynccontextmanager
async def open_door(**limits: float) -> AsyncIterator[Door]:
    door = Door(**limits)
    await door.server.start()
    try:
        yield door
    finally:
        await door.close()
        assert door.server.kept_bytes == 0
        assert door.server.connections == 0


async def soon(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), PATIENCE)


async def until(holds: Callable[[], bool]) -> None:
    """For what has no event of its own, such as a socket that another process's kernel closes."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)
