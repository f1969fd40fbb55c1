"""A backend that sends exactly the bytes that a test says, and remembers exactly the bytes that came."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lb.balancing.backend import Backend
from lb.exchange import Headers, Request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """One accepted connection, seen from the backend."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.head = b""
        self.body = b""

    async def request(self) -> bytes:
        """The next request, raw: head and body as they came."""
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        self.body = b""
        fields = self.head.lower()
        if b"\r\ntransfer-encoding: chunked\r\n" in fields:
            self.body = await self.reader.readuntil(b"0\r\n\r\n")
        elif b"\r\ncontent-length: " in fields:
            size = int(fields.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
            self.body = await self.reader.readexactly(size)
        return self.head + self.body

    async def say(self, *parts: bytes) -> None:
        """Send the parts so that the other side, on the same loop, reads them one by one."""
        for part in parts:
            if self.writer.is_closing():  # uvloop would raise RuntimeError
                raise ConnectionResetError
            self.writer.write(part)
            await self.writer.drain()
            await turns()

    async def gone(self) -> None:
        """Wait until the other side has closed; anything it still sends fails the test."""
        assert await self.reader.read() == b""

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End it by RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Play = Callable[[Peer], Awaitable[object]]


class Scripted:
    """A listening backend and what became of it."""

    def __init__(self, play: Play) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self.open = 0
        self.port = 0
        self.errors: list[Exception] = []
        self._play = play
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        task = asyncio.get_running_loop().create_task(self._serve(Peer(reader, writer, self.accepted)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: Peer) -> None:
        try:
            await self._play(peer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the balancer left; a test that minds counts requests
        except Exception as error:
            self.errors.append(error)
        finally:
            peer.close()
            self.open -= 1
            self._changed.set()

    async def quiet(self) -> None:
        """Wait until every connection to this backend has ended."""
        while self.open:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 30)

    async def cancel(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def backend(self, prefix: str = "", scheme: str = "http", host: str = "127.0.0.1") -> Backend:
        return Backend("BACKEND_1", f"{scheme}://{host}:{self.port}{prefix}", api_key="k")


@asynccontextmanager
async def scripted(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Run `play` for every accepted connection; what it raises fails the test."""
    backend = Scripted(play)
    server = await asyncio.start_server(backend.accept, "127.0.0.1", 0, ssl=tls)
    backend.port = server.sockets[0].getsockname()[1]
    try:
        yield backend
    finally:
        server.close()
        await backend.cancel()
    assert not backend.errors, backend.errors


def answering(*replies: bytes) -> Play:
    """A play that answers request after request on one connection, the last reply again and again."""

    async def play(peer: Peer) -> None:
        left = list(replies)
        while True:
            await peer.request()
            await peer.say(left.pop(0) if len(left) > 1 else left[0])

    return play


def a_request(
    body: bytes = b"", method: str = "POST", headers: Headers = (), *, chunked: bool = False, sized: bool = True
) -> Request:
    return Request("r-1", method, b"/v1/x", headers, body, chunked=chunked, sized=sized)


async def turns(count: int = 3) -> None:
    """Let the loop poll its sockets a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


class Collector:
    """A receiver that keeps what it gets, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.came = asyncio.Event()

    def data(self, chunk: bytes) -> None:
        self.pieces.append(chunk)
        self.came.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    async def until(self, size: int) -> None:
        """Wait until that many bytes have come."""
        while len(self.body) < size:
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), 30)
