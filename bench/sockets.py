"""WebSockets: what an idle one costs in memory, and a frame in CPU.

    python -m bench.sockets [--sockets 1000] [--frames 40000]

Opens that many WebSockets through the balancer to a backend in a process of its own, in plain text and by TLS, reads
the balancer's memory before and after, and then sends frames back and forth on a hundred of them. Exit code 1 when an
idle one costs 60 KiB or more.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
import uvloop

from bench.children import Child, Cores, free_port, leave_orderly, open_files

LIMIT_KIB = 60.0
BUSY = 100
"""Connections that talk at once."""
SAID = 200
"""Bytes of a message: an event of text, or 0.004 s of sound."""
HEARD = b"\x81\x7e" + SAID.to_bytes(2) + b"x" * SAID
ASKED = b"\x81\xfe" + SAID.to_bytes(2) + bytes(4) + b"x" * SAID
HANDSHAKE = (
    b"GET /openai/v1/realtime?model=voice HTTP/1.1\r\nHost: lb\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Backend(asyncio.Protocol):
    """Grants every handshake, and answers each frame of the load by one as long."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._open = False
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self._open:
            self._open = True
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
            )
            return
        whole, self._left = divmod(self._left + len(data), len(ASKED))
        self.transport.write(HEARD * whole)


async def answer(port: int, certificate: str | None) -> None:
    """Be the backend, until killed."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, ssl=context, backlog=4096)
    await server.serve_forever()


class Client(asyncio.Protocol):
    """Opens one WebSocket; asks so many times, and each time waits for the answer."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()
        self._heard = 0
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result(data.startswith(b"HTTP/1.1 101 "))
            return
        self._heard += len(data)
        while self._heard >= len(HEARD):
            self._heard -= len(HEARD)
            self._wanted -= 1
            if self._wanted:
                self.transport.write(ASKED)
            else:
                self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_result(False)

    def ask(self, times: int) -> None:
        self._wanted = times
        self.transport.write(ASKED)


async def dial(port: int, count: int) -> list[Client]:
    """So many WebSockets, fifty at a time. Raises RuntimeError when one is not granted."""
    opened: list[Client] = []
    loop = asyncio.get_running_loop()
    for start in range(0, count, 50):
        batch = [loop.create_connection(Client, "127.0.0.1", port) for _ in range(min(50, count - start))]
        clients = [client for _, client in await asyncio.gather(*batch)]
        if not all(await asyncio.gather(*[client.opened for client in clients])):
            raise RuntimeError("a handshake was not granted")
        opened += clients
    return opened


@dataclass(frozen=True)
class Seen:
    """What one arrangement costs."""

    name: str
    kib: float
    microseconds: float


@asynccontextmanager
async def balancer(folder: Path, tls: bool, usage: bool) -> AsyncIterator[tuple[Child, int]]:
    """The command with a backend behind it; with its port."""
    cores, backend, port = Cores.split(), free_port(), free_port()
    command = [sys.executable, "-m", "bench.sockets", "--backend", str(backend)]
    settings = {"LB_HOST": "127.0.0.1", "LB_PORT": str(port), "LB_ADMIN_PORT": "0", "LB_LOG_LEVEL": "warning"}
    settings |= {"BACKEND_1_URL": f"http{'s' if tls else ''}://127.0.0.1:{backend}", "BACKEND_1_APIKEY": "k"}
    settings["LB_USAGE"] = str(usage).lower()
    if tls:
        authority = trustme.CA()
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "leaf.pem"))
        authority.cert_pem.write_to_path(str(folder / "roots.pem"))
        command += ["--certificate", str(folder / "leaf.pem")]
        settings["LB_CA_FILE"] = str(folder / "roots.pem")
    environment = {**os.environ, **settings}
    with Child(command, cores.rest, folder / "backend.log", os.environ) as behind:
        behind.wait_port(backend, 10)
        with Child([sys.executable, "-m", "lb", "serve"], cores.proxy, folder / "lb.log", environment) as child:
            child.wait_port(port, 20)
            yield child, port


async def measure(name: str, sockets: int, frames: int, *, tls: bool, usage: bool) -> Seen:
    """Memory of idle ones, then the CPU of talk."""
    with tempfile.TemporaryDirectory() as folder:
        async with balancer(Path(folder), tls, usage) as (child, port):
            await dial(port, 20)  # what is needed once is there
            before = child.resident()
            clients = await dial(port, sockets)
            await asyncio.sleep(2)
            kib = (child.resident() - before) / 1024 / sockets
            each = max(1, frames // 2 // BUSY)
            spent = child.cpu()
            for client in clients[:BUSY]:
                client.ask(each)
            await asyncio.gather(*[client.done for client in clients[:BUSY]])
            spent = child.cpu() - spent
            for client in clients:
                client.transport.abort()
            return Seen(name, kib, spent / (2 * each * BUSY) * 1e6)


async def examine(sockets: int, frames: int) -> list[Seen]:
    return [
        await measure("plain", sockets, frames, tls=False, usage=False),
        await measure("plain, usage read", sockets, frames, tls=False, usage=True),
        await measure("TLS to the backend", sockets, frames, tls=True, usage=False),
        await measure("TLS, usage read", sockets, frames, tls=True, usage=True),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of the table")
    parser.add_argument("--backend", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--certificate", help=argparse.SUPPRESS)
    told = parser.parse_args()
    leave_orderly()
    open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if told.backend:
            runner.run(answer(told.backend, told.certificate))
            return 0
        rows = runner.run(examine(told.sockets, max(2 * BUSY, told.frames)))
    if told.json:
        print(json.dumps([row.__dict__ for row in rows]))
    else:
        print(f"{told.sockets} idle WebSockets   KiB each   {told.frames} frames of {SAID} bytes: us of CPU each")
        for row in rows:
            print(f"{row.name:<25}{row.kib:11.1f}{row.microseconds:50.1f}")
    return int(any(row.kib >= LIMIT_KIB for row in rows))


if __name__ == "__main__":
    sys.exit(main())
