"""A backend for large bodies, in a process of its own: it hashes what it gets and sends as much as it is asked for, and
holds neither.

`python bodies_origin.py [refusals]`: so many uploads are refused with 429 when only their head is here."""

import asyncio
import hashlib
import json
import re
import sys

import uvloop

BLOCK = bytes(range(256)) * 1024
"""256 KiB; a download consists of nothing else."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
SIZE = re.compile(rb"[?&]size=(\d+)")
REFUSED = b'{"error":{"code":"429","message":"Please retry after 1 second."}}'


def reply(status: bytes, body: bytes, *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join([*lines, b"", body])


class Origin(asyncio.Protocol):
    """One connection."""

    refusals = 0

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.head = b""
        self.left = 0
        self.size = 0
        self.hash = hashlib.sha256()
        self.refused = False
        self.sending: asyncio.Task[None] | None = None
        self.room = asyncio.Event()
        self.room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.set()

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def data_received(self, data: bytes) -> None:
        if not self.left:
            self.head += data
            head, blank, data = self.head.partition(b"\r\n\r\n")
            if not blank:
                return
            self.head = b""
            self.begin(head)
        self.take(data)

    def begin(self, head: bytes) -> None:
        length, size = LENGTH.search(head), SIZE.search(head)
        if size is not None:
            self.sending = asyncio.get_running_loop().create_task(self.send(int(size[1])))
            return
        self.left = self.size = int(length[1]) if length else 0
        self.hash = hashlib.sha256()
        self.refused = Origin.refusals > 0
        if self.refused:
            Origin.refusals -= 1
            self.transport.write(reply(b"429 Too Many Requests", REFUSED, b"Retry-After: 1"))

    def take(self, data: bytes) -> None:
        if not self.left:
            return
        self.left -= len(data)
        if self.refused:
            return
        self.hash.update(data)
        if not self.left:
            told = {"sha256": self.hash.hexdigest(), "size": self.size}
            self.transport.write(reply(b"200 OK", json.dumps(told).encode()))

    async def send(self, size: int) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % size
        )
        while size > 0 and not self.transport.is_closing():
            piece = BLOCK[: min(size, len(BLOCK))]
            self.transport.write(piece)
            size -= len(piece)
            await self.room.wait()


async def main(refusals: int) -> None:
    """Serve until killed."""
    Origin.refusals = refusals
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
