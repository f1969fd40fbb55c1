"""Sends what was recorded, in batches, from a thread of its own: the event loop only puts things into a queue.

Nothing is lost silently: what the queue has no room for and what could not be sent is counted, and the log says when
that begins and when it is over. Waiting and batches work as in OpenTelemetry's batch span processor.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from lb.telemetry.otel.spans import Span

TRIES_SECONDS: Final = 30.0
"""How long one batch is tried, where the receiver says that another try may help."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 8.0

Say = Callable[..., None]
"""(level, text, **fields): one log line."""


class Unsent(Exception):
    """The receiver has not taken a batch. `again`: another try may help; `pause`: seconds that it asks for."""

    def __init__(self, reason: str, *, again: bool = False, pause: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.pause = pause


class Carrier(Protocol):
    """Brings spans to one receiver."""

    name: str

    def prepare(self, spans: Sequence[Span]) -> Any:
        """What waits in the queue for these. Called on the event loop, so it must be quick."""

    def send(self, batch: Sequence[Any]) -> int:
        """Send what was prepared, and return how many spans the receiver refused. Blocks. Raises `Unsent`."""

    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Spans and seconds."""

    queue: int = 8192
    batch: int = 512
    delay: float = 5.0


class Exporting:
    """One receiver's queue and thread."""

    def __init__(self, carrier: Carrier, say: Say, clock: Callable[[], float], pace: Pace) -> None:
        self._carrier = carrier
        self._say = say
        self._clock = clock
        self._pace = pace
        self._queue: deque[tuple[int, Any]] = deque()
        # Each of these has one writer, so that none needs a lock.
        self._put = 0
        self._taken = 0
        self.sent = 0
        self.overflown = 0
        self.failed = 0
        self._full = False
        self._failing_since: float | None = None
        self._failed_before = 0
        self._some = threading.Event()
        self._closing = threading.Event()
        self._end = float("inf")
        self._sender = threading.Thread(target=self._run, name=f"export {carrier.name}", daemon=True)
        self._sender.start()

    def put(self, spans: Sequence[Span]) -> None:
        """Take the spans of one request; where there is no room for them they are counted and dropped."""
        count = len(spans)
        waiting = self._put - self._taken + count
        if waiting > self._pace.queue or self._closing.is_set():
            self.overflown += count
            if not self._full:
                self._full = True
                self._say(
                    "warning", "Spans are dropped: the queue for their export is full", exporter=self._carrier.name
                )
            return
        self._queue.append((count, self._carrier.prepare(spans)))
        self._put += count
        if waiting >= self._pace.batch and not self._some.is_set():
            self._some.set()

    def rows(self) -> dict[str, list[list[Any]]]:
        """What became of spans, as `/metrics` shows it."""
        name = self._carrier.name
        return {
            "lb_spans_exported_total": [[name, self.sent]],
            "lb_spans_dropped_total": [[name, "queue", self.overflown], [name, "export", self.failed]],
        }

    def close(self, seconds: float) -> None:
        """Send what waits, within this time; what is left then is counted as dropped. Blocks. Idempotent."""
        if self._closing.is_set():
            return
        self._end = self._clock() + seconds
        self._closing.set()
        self._some.set()
        self._sender.join(seconds)
        left = self._put - self._taken
        if left:
            self.overflown += left
            self._say("warning", "Spans were left when time was up", exporter=self._carrier.name, dropped=left)
        self._carrier.close()

    def _run(self) -> None:
        while not (self._closing.is_set() and (not self._queue or self._clock() >= self._end)):
            if not self._closing.is_set():
                self._some.wait(self._pace.delay)
            self._some.clear()
            while self._queue and self._clock() < self._end:
                self._send(*self._batch())
                if not self._closing.is_set() and self._put - self._taken < self._pace.batch:
                    break

    def _batch(self) -> tuple[int, list[Any]]:
        size = 0
        items: list[Any] = []
        while self._queue and (not items or size + self._queue[0][0] <= self._pace.batch):
            count, item = self._queue.popleft()
            size += count
            items.append(item)
        return size, items

    def _send(self, size: int, items: list[Any]) -> None:
        """Until it is sent, or given up."""
        pause, since = FIRST_PAUSE, self._clock()
        while True:
            problem = self._try(size, items)
            if problem is None:
                break
            self._tell_failure(problem.reason)
            wait = problem.pause if problem.pause is not None else pause
            over = self._closing.is_set() or self._clock() + wait > min(since + TRIES_SECONDS, self._end)
            if not problem.again or over:
                self.failed += size
                break
            self._closing.wait(wait)
            pause = min(pause * 2, LONGEST_PAUSE)
        self._taken += size
        if self._full and self._put - self._taken <= self._pace.queue // 2:
            self._full = False
            self._say("info", "Spans are kept again", exporter=self._carrier.name, dropped=self.overflown)

    def _try(self, size: int, items: list[Any]) -> Unsent | None:
        try:
            refused = self._carrier.send(items)
        except Unsent as problem:
            return problem
        except Exception as bug:  # of a library: the thread has to live
            return Unsent(f"{type(bug).__name__}: {bug}")
        self.sent += size - refused
        self.failed += refused
        self._tell_success(refused)
        return None

    def _tell_failure(self, reason: str) -> None:
        if self._failing_since is None:
            self._failing_since = self._clock()
            self._failed_before = self.failed
            name = self._carrier.name
            self._say("warning", "Spans cannot be exported; traffic goes on", exporter=name, reason=reason)

    def _tell_success(self, refused: int) -> None:
        name = self._carrier.name
        if self._failing_since is not None:
            seconds, dropped = self._clock() - self._failing_since, self.failed - self._failed_before
            self._failing_since = None
            self._say("info", "Spans are exported again", exporter=name, seconds=round(seconds, 1), dropped=dropped)
        if refused:
            self._say("warning", "The receiver refused spans", exporter=name, refused=refused)
