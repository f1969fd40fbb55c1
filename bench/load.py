"""The load: requests as fast as they are answered or at a rate, streams, and streams that are only held open.

    python -m bench.load PORT PATH [--connections N] [--seconds S] [--rate R] [--stream | --hold]

One process, which ends by printing one JSON line. `{}` in PATH stands for the number of the connection.
"""

import argparse
import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count

import uvloop

HEAD = (
    "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nUser-Agent: AzureOpenAI/Python 3.52.0\r\n"
    "Content-Type: application/json\r\napi-key: bench\r\nx-stainless-lang: python\r\n"
    "x-stainless-package-version: 3.52.0\r\nx-stainless-os: Linux\r\nx-stainless-arch: x64\r\n"
    "x-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.7\r\nx-stainless-async: async:asyncio\r\n"
    "x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n{extra}Content-Length: {length}\r\n\r\n"
)
"""The fields that the official SDK sends."""
CONNECT_AT_ONCE = 100
TRACE = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-################-01"
_SPAN = b"#" * 16
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STAMP = re.compile(rb"t=(\d{19})")


def request(path: str, headers: list[str], *, stream: bool) -> bytes:
    """A chat call of about 1 KB as an SDK writes it."""
    body = {"messages": [{"role": "user", "content": "lorem ipsum dolor " * 50}], "model": "chat"}
    text = json.dumps({**body, "stream": True} if stream else body)
    extra = "".join(f"{header}\r\n" for header in headers)
    return HEAD.format(path=path, extra=extra, length=len(text)).encode() + text.encode()


@dataclass
class Result:
    """What was seen; the delays, in microseconds, are of requests or, on streams, of events."""

    ok: int = 0
    bad: int = 0
    events: int = 0
    opened: int = 0
    counted: int = 0
    """Replies that held the bytes looked for."""
    seconds: float = 0.0
    delays: list[float] = field(default_factory=list, repr=False)


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, plan: "Plan", number: int, result: Result, done: Callable[["Client"], None]) -> None:
        self.plan = plan
        path = plan.path.replace("{}", str(number))
        self.sent = request(path, plan.headers, stream=plan.streams)
        self.result = result
        self.done = done
        self.rest = b""
        self.due = 0.0
        self.begun = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.result.bad += self.begun > 0

    def ask(self) -> None:
        """Send the next request."""
        self.rest = b""
        self.begun = time.monotonic()
        sent = self.sent.replace(_SPAN, b"%016x" % next(self.plan.spans), 1) if self.plan.traced else self.sent
        self.transport.write(sent)

    def data_received(self, data: bytes) -> None:
        self.rest = self.rest + data if self.rest else data
        end = self.rest.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self.rest, 0, end)
        whole = len(self.rest) >= end + 4 + int(length[1]) if length else self.rest.endswith(b"\r\n0\r\n\r\n")
        if whole:
            self.finish(self.rest.startswith(b"HTTP/1.1 200"))

    def finish(self, good: bool) -> None:
        """A reply came to its end."""
        self.result.ok += good
        self.result.bad += not good
        if self.plan.look_for:
            self.result.counted += self.plan.look_for in self.rest
        self.result.delays.append((time.monotonic() - self.begun) * 1e6)
        self.begun = 0.0
        self.done(self)


class StreamClient(Client):
    """Counts events and how long each was on its way, and keeps nothing of them."""

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self.rest:
            self.result.opened += 1
            if not data.startswith(b"HTTP/1.1 200"):
                self.finish_stream(False)
                return
        for stamp in _STAMP.finditer(data):
            self.result.events += 1
            self.result.delays.append((now - int(stamp[1])) / 1000)
        self.rest = (self.rest + data)[-7:]
        if self.rest == b"\r\n0\r\n\r\n":
            self.finish_stream(True)

    def finish_stream(self, good: bool) -> None:
        """A stream came to its end."""
        self.result.ok += good
        self.result.bad += not good
        self.begun = 0.0
        self.done(self)


@dataclass(frozen=True)
class Plan:
    """What to do."""

    port: int
    path: str
    headers: list[str]
    connections: int
    seconds: float
    rate: float
    stream: bool
    hold: bool
    look_for: bytes
    traced: bool
    spans: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def streams(self) -> bool:
        return self.stream or self.hold


async def run(plan: Plan) -> Result:
    """Connect, then load for `plan.seconds`."""
    loop = asyncio.get_running_loop()
    result = Result()
    pace = plan.connections / plan.rate if plan.rate else 0.0
    end = float("inf")

    def again(client: Client) -> None:
        client.due += pace
        if pace:
            loop.call_at(max(client.due, loop.time()), next_request, client)
        else:
            next_request(client)

    def next_request(client: Client) -> None:
        if loop.time() < end:
            client.ask()

    clients = await _connect(plan, result, again)
    begun = loop.time()
    end = begun + plan.seconds
    for number, client in enumerate(clients):
        client.due = begun + number * (pace / plan.connections or 0.0005)
        loop.call_at(client.due, client.ask)
    if plan.hold:
        await _all_open(plan, result, end)
    await asyncio.sleep(max(0.0, end - loop.time()))
    result.seconds = loop.time() - begun
    for client in clients:
        client.begun = 0.0
        client.transport.abort()
    return result


async def _connect(plan: Plan, result: Result, again: Callable[[Client], None]) -> list[Client]:
    kind = StreamClient if plan.streams else Client
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    while len(clients) < plan.connections:
        batch = min(CONNECT_AT_ONCE, plan.connections - len(clients))
        calls = (
            loop.create_connection(partial(kind, plan, number, result, again), "127.0.0.1", plan.port)
            for number in range(len(clients), len(clients) + batch)
        )
        clients += [client for _, client in await asyncio.gather(*calls)]
    return clients


async def _all_open(plan: Plan, result: Result, end: float) -> None:
    """Tell who started us when every stream has begun."""
    loop = asyncio.get_running_loop()
    while result.opened < plan.connections and loop.time() < end:  # noqa: ASYNC110 - costs the measured path nothing
        await asyncio.sleep(0.05)
    print(json.dumps({"held": result.opened, "bad": result.bad}), flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rate", type=float, default=0, help="requests a second; 0: as fast as they are answered")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--traced", action="store_true", help="no two heads are the same")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--look-for", type=str.encode, default=b"")
    a = parser.parse_args()
    headers = [*a.header, TRACE] if a.traced else a.header
    plan = Plan(a.port, a.path, headers, a.connections, a.seconds, a.rate, a.stream, a.hold, a.look_for, a.traced)
    result = uvloop.run(run(plan))
    delays, result.delays = sorted(result.delays) or [0.0], []
    print(json.dumps({**asdict(result), "p50": delays[len(delays) // 2], "p99": delays[int(len(delays) * 0.99)]}))


if __name__ == "__main__":
    main()
