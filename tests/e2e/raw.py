"""HTTP as bytes, both ends: a client and a backend that say exactly what a test wrote."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

Fields = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
                        b"upgrade", b"proxy-authorization", b"proxy-authenticate"))  # fmt: skip
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
LIMIT = 64 * 1024 * 1024


@dataclass
class Message:
    """One request or reply, taken apart no further than it must be."""

    first: bytes = b""
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    """Without chunk framing."""
    chunked: bool = False
    interim: list[bytes] = field(default_factory=list)
    """Heads of 1xx replies that came before."""
    trailers: bytes = b""
    whole: bool = True
    """Did it end as its framing says?"""
    raw: bytes = b""
    """Everything as it came, where it is small enough to be looked through."""

    @property
    def status(self) -> int:
        return int(self.first.split(b" ")[1])

    def all(self, name: bytes) -> list[bytes]:
        """The values of a field."""
        return [value for key, value in self.fields if key.lower() == name]

    def end_to_end(self, *less: bytes) -> Fields:
        """The fields that go on behind a proxy, in their order."""
        named = {part.strip().lower() for value in self.all(b"connection") for part in value.split(b",")}
        return [pair for pair in self.fields if pair[0].lower() not in HOP_BY_HOP | named | set(less)]


def parse_head(head: bytes) -> Message:
    """Split a head; the white space around a value is not part of it (RFC 9110 section 5.5)."""
    first, *lines = head[:-4].split(b"\r\n")
    pairs = [line.split(b":", 1) for line in lines]
    return Message(first, [(name, value.strip(b" \t")) for name, value in pairs], raw=head)


async def read_chunked(reader: asyncio.StreamReader, message: Message) -> None:
    """Chunks up to and with the trailers."""
    message.chunked = True
    parts = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if not size:
            break
        parts.append(await reader.readexactly(size))
        assert await reader.readexactly(2) == b"\r\n"
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        message.trailers += line
    message.body = b"".join(parts)


async def read_body(reader: asyncio.StreamReader, message: Message, *, until_end: bool) -> None:
    """The body as the head frames it. A message that is cut short is marked as such."""
    length = message.all(b"content-length")
    try:
        if message.all(b"transfer-encoding"):
            await read_chunked(reader, message)
        elif length:
            message.body = await reader.readexactly(int(length[0]))
        elif until_end:
            message.body = await reader.read(-1)
    except (asyncio.IncompleteReadError, ConnectionError):
        message.whole = False
    if len(message.body) < 1_000_000:
        message.raw += message.body


class RawBackend:
    """Keeps what it receives and answers with `reply`, piece by piece; `close` ends the connection after that."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.reply: Sequence[bytes] = (OK,)
        self.close = False
        self.url = ""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "RawBackend":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def answers(self, *pieces: bytes, close: bool = False) -> None:
        """From now on answer so."""
        self.received.clear()
        self.reply, self.close = pieces, close

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not reader.at_eof():
                message = parse_head(await reader.readuntil(b"\r\n\r\n"))
                if message.all(b"expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await read_body(reader, message, until_end=False)
                self.received.append(message)
                await self._say(writer)
                if self.close:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side left
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter) -> None:
        for piece in self.reply:
            writer.write(piece)
            await writer.drain()
            if len(self.reply) > 1:
                await asyncio.sleep(0.0005)  # so that the pieces arrive one by one


async def exchange(url: str, request: bytes, body: bytes = b"") -> Message:
    """Send raw bytes (`{host}` is replaced), read the reply. A body after `Expect` waits for the interim reply."""
    host = re.sub("^http://", "", url)
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port), limit=LIMIT)
    head = request.replace(b"{host}", host.encode())
    try:
        writer.write(head)
        interim = []
        if b"100-continue" in head:
            interim.append(await reader.readuntil(b"\r\n\r\n"))
            if not interim[0].startswith(b"HTTP/1.1 100"):
                return await _rest(reader, parse_head(interim[0]), head)
        writer.write(body)
        while True:
            message = parse_head(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30))
            if message.status >= 200:
                break
            interim.append(message.raw)
        message.interim = interim
        return await _rest(reader, message, head)
    finally:
        writer.close()


async def _rest(reader: asyncio.StreamReader, message: Message, request: bytes) -> Message:
    if not request.startswith(b"HEAD ") and message.status not in (204, 304):
        await asyncio.wait_for(read_body(reader, message, until_end=True), 30)
    return message


def post(target: bytes, *lines: bytes, version: bytes = b"1.1", method: bytes = b"POST") -> bytes:
    """A request head to a host that `exchange` fills in."""
    return b"\r\n".join((b"%b %b HTTP/%b" % (method, target, version), b"Host: {host}", *lines, b"", b""))


def sized(target: bytes, body: bytes, *lines: bytes, method: bytes = b"POST") -> tuple[bytes, bytes]:
    """A request with its length."""
    return post(target, *lines, b"Content-Length: %d" % len(body), method=method), body


def chunks(*parts: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n%b\r\n" % trailers
