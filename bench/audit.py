"""What the audit costs the event loop, in one process: a capture, and the steps in which a large prompt is handed over.

    python -m bench.audit

CPU time of this thread, so that what other programs take does not count.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from bench.replies import COMPLETION
from lb.audit.capture import Auditing
from lb.audit.choice import Choice, Sampling
from lb.audit.feed import Feed
from lb.balancing.routing import Operation, Route
from lb.events import Finished, Outcome
from lb.exchange import Request
from lb.metering.usage import Usage

ROUTE = Route(Operation.INFERENCE, "chat")
TARGET = b"/openai/deployments/chat/chat/completions?api-version=2024-10-21"
PROMPT = b'{"messages":[{"role":"user","content":"%b"}]}'
TIMES = 5000


class Head:
    """As much of a reply as a capture looks at."""

    status = 200

    def get(self, name: bytes) -> bytes | None:
        return b"application/json" if name == b"content-type" else None


def settings(place: str) -> dict[str, Any]:
    """A clerk that writes to a file there."""
    usual = {"to": "file", "file": str(Path(place, "audit.jsonl")), "file_bytes": 2**30, "file_count": 1}
    usual |= {
        "file_daily": False,
        "url": None,
        "connection_string": None,
        "client_id": None,
        "redact": {},
        "hook": None,
    }
    return usual | {"field_bytes": 64 * 1024, "record_bytes": 256 * 1024}


def one(auditing: Auditing, body: bytes) -> None:
    """One request from its reply's head to its end."""
    request = Request("r-1", "POST", TARGET, (), body, content_type=b"application/json", peer="127.0.0.1", fields=b"x")
    told = Finished("r-1", "POST", "chat", Outcome.RELAYED, 200, 1, 0.1, backend="B")
    told.usage = Usage(1, 2, 3)
    capture = auditing.watch(request, ROUTE, Head())  # type: ignore[arg-type]
    assert capture is not None
    capture.data(COMPLETION)
    capture.end(told)
    auditing.finished(told)


async def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        feed = Feed(settings(place), 2**30, print, lambda line: None)
        auditing = Auditing(feed, time.time, Sampling(random.Random(1)), Choice())  # noqa: S311 - the same each time
        steps: list[float] = []
        flush = feed._flush

        def timed() -> None:
            before = time.thread_time()
            flush()
            steps.append((time.thread_time() - before) * 1e6)

        feed._flush = timed  # type: ignore[method-assign]
        feed.start()
        rounds = []
        for _ in range(5):
            before = time.thread_time()
            for _ in range(TIMES):
                one(auditing, PROMPT % (b"x" * 1000))
            rounds.append((time.thread_time() - before) / TIMES * 1e6)
            await feed._until(lambda: not feed._queue)
        print(f"a capture, us: {median(rounds):.1f} ({min(rounds):.1f}..{max(rounds):.1f})")
        steps.clear()
        for _ in range(20):
            one(auditing, PROMPT % (b"word " * 200_000))
            await asyncio.sleep(0.3)
        most = f"CPU us of a step: {median(steps):.0f}, {max(steps):.0f} at most"
        print(f"a prompt of a megabyte, steps: {len(steps) / 20:.1f}; {most}")
        await feed.close()


uvloop.run(main())
