"""What tenants, quotas and token counts add to a request and to an event: the same gateway with and without them.

    python -m bench.extra [--rounds 40]

In one process, without sockets: CPU time of the gateway's own work, off and on in turn, round by round, so that
whatever else the machine does hits both alike; of each the tenth part of the rounds that was least disturbed counts.
"""

import argparse
import sys
import time
from collections.abc import Coroutine, Sequence
from statistics import quantiles
from typing import Any

from bench.replies import COMPLETION, usual_event
from lb.balancing.backend import Backend
from lb.balancing.pool import Pool
from lb.balancing.verdict import Judge
from lb.events import Announcer
from lb.exchange import BodyStream, Headers, Receiver, Reply, Request, Tap
from lb.failover import Failover
from lb.gateway import Gateway
from lb.metering.quota import Quota
from lb.metering.tenant import Limits, Tenant, Tenants
from lb.spine.admission import Admission
from lb.spine.watching import watch_cost
from lb.telemetry.metrics import Metrics

BACKEND = Backend("one", "https://one.example")
PATH = b"/openai/deployments/chat/chat/completions?api-version=2024-10-21"
ASKED = b'{"messages": [{"role": "user", "content": "' + b"lorem ipsum dolor " * 50 + b'"}], "model": "chat"}'
STREAMED = ASKED[:-1] + b', "stream": true}'
EVENTS = 200
PLENTY = 10**12
REQUESTS = 400
STREAMS = 20


class CannedReply:
    """All of it is there."""

    status, reason, raw, ended = 200, b"OK", b"", True

    def __init__(self, kind: bytes, pieces: Sequence[bytes]) -> None:
        self.headers: Headers = ((b"Content-Type", kind),)
        self.length: int | None = None
        self._kind = kind
        self._pieces = pieces

    def get(self, name: bytes) -> bytes | None:
        return self._kind if name == b"content-type" else None

    async def more(self) -> bytes:
        return b""

    async def relay(self, receiver: Receiver) -> None:
        for piece in self._pieces:
            receiver.data(piece)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class Canned:
    """Sends nothing: the reply is here."""

    def __init__(self, kind: bytes, pieces: Sequence[bytes]) -> None:
        self._told = kind, pieces

    async def send(self, backend: Backend, request: Request, target: bytes, body: bytes | BodyStream) -> Reply:
        return CannedReply(*self._told)


class Reader:
    """A client that wants everything and keeps nothing."""

    def __init__(self) -> None:
        self.tap: Tap | None = None
        self.gone = False

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        raise SystemExit(f"refused: {status} {body!r}")

    async def relay(self, reply: Reply, extra: Headers) -> None:
        await reply.relay(self)

    def data(self, chunk: bytes) -> None:
        if self.tap is not None:
            self.tap.data(chunk)


def gateway(kind: bytes, pieces: Sequence[bytes], *, full: bool) -> Gateway:
    """With nothing but counters, or with everything."""
    emit = Announcer()
    emit.add(Metrics(["chat"]))
    clock = time.monotonic
    pool = Pool([BACKEND], emit)
    found = Gateway(
        lambda head: None, Failover(pool, Canned(kind, pieces), Judge(time.time, 60), clock, emit), clock, emit
    )
    if full:
        limits = Limits(PLENTY, PLENTY, PLENTY, max_concurrent=PLENTY)
        tenants = Tenants([Tenant("ada", limits)])
        admission = Admission(Quota((), lambda now: now + 1.7e9), clock, emit)
        admission.replace(tenants, b"x-tenant", b"tenant", (BACKEND,))
        found.admission = admission
        found.watches = [watch_cost]
    return found


def cpu(answers: Gateway, body: bytes, count: int) -> float:
    """CPU seconds that so many requests take."""
    asked = [
        Request("r", "POST", PATH, ((b"Accept", b"*/*"),), body, content_type=b"application/json", caller="ada")
        for _ in range(count)
    ]
    before = time.process_time_ns()
    while asked:
        _finish(answers.handle(asked.pop(), Reader()))
    return (time.process_time_ns() - before) / 1e9


def _finish(story: Coroutine[Any, Any, None]) -> None:
    try:
        story.send(None)
    except StopIteration:
        return
    raise SystemExit("it waited for something")


def compare(name: str, kind: bytes, body: bytes, pieces: Sequence[bytes], count: int, rounds: int) -> float:
    """Print and return microseconds that are added to each request; an event's share where there are events."""
    ways: dict[bool, Gateway] = {full: gateway(kind, pieces, full=full) for full in (False, True)}

    def each(full: bool) -> float:
        return cpu(ways[full], body, count) / count * 1e6

    each(False), each(True)
    taken = [(each(False), each(True)) for _ in range(rounds)]
    off, on = (quantiles(figures, n=10)[0] for figures in zip(*taken, strict=True))
    print(f"{name:44}{off:9.2f}{on:9.2f}{on - off:9.2f}", flush=True)
    return on - off


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    json_, sse = b"application/json", b"text/event-stream; charset=utf-8"
    events = [usual_event(number) for number in range(EVENTS)]
    told = [*events, b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}\n\n']
    wants = STREAMED[:-1] + b', "stream_options": {"include_usage": true}}'
    print(f"microseconds of CPU{'off':>34}{'on':>9}{'added':>9}")
    compare("JSON request", json_, ASKED, [COMPLETION], REQUESTS, rounds)
    for name, body, pieces in (("without usage", STREAMED, events), ("with usage", wants, told)):
        few = compare(f"stream {name}, {EVENTS // 10} events", sse, body, pieces[-EVENTS // 10 :], STREAMS, rounds)
        many = compare(f"stream {name}, {EVENTS} events", sse, body, pieces, STREAMS, rounds)
        print(f"{'each event':62}{(many - few) / (len(pieces) - EVENTS // 10):9.3f}")


if __name__ == "__main__":
    sys.exit(main())
