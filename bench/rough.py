"""A rough crowd for the soak: requests at a rate, streams, clients that leave in the middle and come back anew.

    python -m bench.rough PORT PATH --rate 5000 --streams 100 --seconds 600

Ends by printing one JSON line.
"""

import argparse
import asyncio
import json
import random
from dataclasses import asdict, dataclass

import uvloop

from bench.load import request

REQUESTERS = 64
LEAVERS = 0.002
"""Share of requests whose client closes the connection while it waits."""
SHORT_LIVED = 0.01
"""Share of replies after which the client closes the connection, as one does that is done."""
STREAM_SECONDS = 3.0
"""A stream lasts 4 s; a client stays for at most twice this, so that some leave in the middle."""


@dataclass
class Seen:
    """What became of the requests, from the clients' side."""

    ok: int = 0
    other_status: int = 0
    cut: int = 0
    """The connection ended before the reply did: the backend broke off."""
    left: int = 0
    connections: int = 0


class Crowd:
    """Everybody, and when it is over."""

    def __init__(self, port: int, path: str, rate: float, seconds: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.port = port
        self.pace = REQUESTERS / rate
        self.end = self.loop.time() + seconds
        self.seen = Seen()
        self.rng = random.Random(7)  # noqa: S311 - the same crowd in every run
        self.plain = request(path, [], stream=False)
        self.stream = request(path, [], stream=True)
        self.dialling: set[asyncio.Task[object]] = set()

    def come(self, kind: "type[Rough]", delay: float = 0.0) -> None:
        """A new connection, now or later."""
        if self.loop.time() + delay < self.end:
            self.loop.call_later(delay, self._dial, kind)

    def _dial(self, kind: "type[Rough]") -> None:
        task: asyncio.Task[object] = self.loop.create_task(
            self.loop.create_connection(lambda: kind(self), "127.0.0.1", self.port)
        )
        self.dialling.add(task)
        task.add_done_callback(self.dialling.discard)


class Rough(asyncio.Protocol):
    """One client. This one sends requests."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.waits = False
        self.rest = b""
        self.due = crowd.loop.time()
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.crowd.seen.connections += 1
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.seen.cut += self.waits
        if self.timer is not None:
            self.timer.cancel()
        self.crowd.come(type(self), 0.01)

    def ask(self) -> None:
        """Send a request; now and then do not wait for its answer."""
        crowd = self.crowd
        if crowd.loop.time() > crowd.end:
            self.transport.close()
            return
        self.waits = True
        self.rest = b""
        self.due = max(self.due + crowd.pace, crowd.loop.time() - 1.0)
        self.transport.write(crowd.plain)
        if crowd.rng.random() < LEAVERS:
            crowd.loop.call_later(crowd.rng.random() * 0.002, self.leave)

    def leave(self) -> None:
        """Close the connection whatever is under way."""
        self.crowd.seen.left += self.waits
        self.waits = False
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.rest += data
        head, found, body = self.rest.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            self.answered()

    def answered(self) -> None:
        """A whole reply."""
        self.waits = False
        self.crowd.seen.ok += self.rest.startswith(b"HTTP/1.1 200")
        self.crowd.seen.other_status += not self.rest.startswith(b"HTTP/1.1 200")
        if self.crowd.rng.random() < SHORT_LIVED:
            self.transport.close()
        else:
            self.timer = self.crowd.loop.call_at(max(self.due, self.crowd.loop.time()), self.ask)


class RoughStream(Rough):
    """One client that reads streams, of which it leaves some before their end."""

    def ask(self) -> None:
        self.waits = True
        self.rest = b""
        self.transport.write(self.crowd.stream)
        self.timer = self.crowd.loop.call_later(self.crowd.rng.random() * 2 * STREAM_SECONDS, self.leave)

    def data_received(self, data: bytes) -> None:
        if self.rest == b"" and not data.startswith(b"HTTP/1.1 200"):
            self.crowd.seen.other_status += 1
            self.waits = False
            self.transport.close()
            return
        self.rest = (self.rest + data)[-7:]
        if self.rest == b"\r\n0\r\n\r\n":
            self.crowd.seen.ok += 1
            self.waits = False
            self.transport.close()


async def run(port: int, path: str, rate: float, streams: int, seconds: float) -> Seen:
    """Let the crowd come, wait, see."""
    crowd = Crowd(port, path, rate, seconds)
    for number in range(REQUESTERS):
        crowd.come(Rough, number * crowd.pace / REQUESTERS)
    for number in range(streams):
        crowd.come(RoughStream, number * 0.01)
    await asyncio.sleep(seconds + 1.0)
    return crowd.seen


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    a = parser.parse_args()
    print(json.dumps(asdict(uvloop.run(run(a.port, a.path, a.rate, a.streams, a.seconds)))))


if __name__ == "__main__":
    main()
