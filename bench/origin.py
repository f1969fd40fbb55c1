"""A backend that costs next to nothing: canned replies, and event streams by one timer.

    python -m bench.origin [--tls CERTIFICATE KEY] [--share-of-faults 0.02]

Prints its port. What it does is chosen by the request: a path with `/throttled` answers 429, one with `/hold` opens a
stream and is silent after its first event, a body with `"stream": true` streams, anything else is a chat completion.
"""

import argparse
import asyncio
import random
import socket
import ssl

import uvloop

from bench.replies import DONE, FAILED, OK, STREAM, THROTTLED, event

EVENTS = 200
INTERVAL = 0.02
"""Seconds between two events of one stream: 400 streams make 20,000 events a second."""


class Streams:
    """Drives all streams: each tick serves those whose turn it is, so that they are spread over the interval."""

    SLOTS = 20
    """The loop's timers know milliseconds; a tick is one."""
    CATCH_UP = 0.1
    """Seconds of ticks that are made up for, after somebody else had the core."""

    def __init__(self) -> None:
        self.slots: list[set[Origin]] = [set() for _ in range(self.SLOTS)]
        self.next = 0
        self.due = 0.0

    def add(self, origin: "Origin") -> None:
        slot = min(self.slots, key=len)
        slot.add(origin)
        origin.slot = slot

    def run(self) -> None:
        loop = asyncio.get_running_loop()
        for origin in list(self.slots[self.next]):
            origin.tick()
        self.next = (self.next + 1) % self.SLOTS
        self.due = max(self.due + INTERVAL / self.SLOTS, loop.time() - self.CATCH_UP)
        loop.call_at(self.due, self.run)


class Origin(asyncio.Protocol):
    """One connection. The proxies' requests are well-formed, so that finding their end is all the parsing needed."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.slot: set[Origin] | None = None
        self.rest = b""
        self.sent = 0
        self.chunked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()

    def leave(self) -> None:
        if self.slot is not None:
            self.slot.discard(self)
            self.slot = None

    def data_received(self, data: bytes) -> None:
        self.rest = self.rest + data if self.rest else data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head = self.rest[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if at < 0 and b"transfer-encoding" in head:
                raise ValueError("the benchmark sends its bodies with a length")
            if len(self.rest) < end + 4 + length:
                return
            body = self.rest[end + 4 : end + 4 + length]
            self.rest = self.rest[end + 4 + length :]
            self.answer(head[: head.find(b"\r\n")], body)

    def answer(self, line: bytes, body: bytes) -> None:
        if b"/throttled" in line:
            self.transport.write(THROTTLED)
        elif b"/hold" in line:
            self.transport.write(STREAM + event())
        elif b'"stream": true' in body or b'"stream":true' in body:
            self.transport.write(STREAM)
            self.sent = 0
            self.streams.add(self)
        else:
            self.transport.write(OK)

    def tick(self) -> None:
        self.sent += 1
        if self.sent > EVENTS:
            self.leave()
            self.transport.write(DONE)
        else:
            self.transport.write(event())


class Faulty(Origin):
    """Misbehaves now and then, in every way a backend does."""

    share = 0.0
    rng = random.Random(1)  # noqa: S311 - the same faults in every run

    def answer(self, line: bytes, body: bytes) -> None:
        if self.rng.random() >= self.share:
            super().answer(line, body)
            return
        fault = self.rng.choice((self._throttle, self._fail, self._hang_up, self._break_off))
        fault()

    def tick(self) -> None:
        if self.rng.random() < self.share / EVENTS:
            self.leave()
            self.transport.abort()
        else:
            super().tick()

    def _throttle(self) -> None:
        self.transport.write(THROTTLED)

    def _fail(self) -> None:
        self.transport.write(FAILED)

    def _hang_up(self) -> None:
        self.transport.abort()

    def _break_off(self) -> None:
        self.transport.write(OK[: len(OK) // 2])
        self.transport.close()


async def main() -> None:
    """Listen on a free port of 127.0.0.1, print it, serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--share-of-faults", type=float, default=0.0)
    a = parser.parse_args()
    context = None
    if a.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*a.tls)
    Faulty.share = a.share_of_faults
    kind = Faulty if a.share_of_faults else Origin
    streams = Streams()
    loop = asyncio.get_running_loop()
    sock = socket.create_server(("127.0.0.1", 0), backlog=8192)
    await loop.create_server(lambda: kind(streams), sock=sock, ssl=context)
    print(sock.getsockname()[1], flush=True)
    streams.due = loop.time()
    streams.run()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
