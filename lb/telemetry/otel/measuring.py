"""The GenAI metrics of OpenTelemetry: measured while replies are relayed, added up in plain lists, shown when asked.

An operation is a request as the backend that answered saw it: from when it was asked to the last byte. What other
backends took before is in the balancer's own metrics.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from lb.balancing.backend import Backend
from lb.balancing.routing import Operation, Route
from lb.events import Finished
from lb.exchange import Reply, Request
from lb.metering.tap import Kind, call_of, kind_of
from lb.spine.watching import Watching
from lb.telemetry.names import OTHER, Names
from lb.telemetry.otel import conventions as names

ROWS = 1000
"""Rows of labels that are kept; what comes on top shares one."""
MODELS = 200

Key = tuple[str, str, str, str, str]
"""Operation, provider, model, backend, kind of error."""


class Histogram:
    """Counts by bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def copy(self) -> "Histogram":
        """As it is now."""
        other = Histogram(self.bounds)
        other.counts, other.sum = list(self.counts), self.sum
        return other


class Row:
    """The operations of one kind."""

    __slots__ = ("chunk", "duration", "first", "input", "output")

    def __init__(self) -> None:
        self.duration = Histogram(names.SECONDS)
        self.first = Histogram(names.SECONDS)
        self.chunk = Histogram(names.SECONDS)
        self.input = Histogram(names.TOKENS)
        self.output = Histogram(names.TOKENS)


Measured = tuple[str, str, dict[str, str | int], Histogram]
"""A metric's name and unit, attributes, and what was measured."""


class Measuring:
    """All rows. `watch` is a `Watch`."""

    def __init__(self, clock: Callable[[], float], deployments: Sequence[str], backends: Sequence[Backend]) -> None:
        """`deployments` are those that have rows from the start; others get theirs once a backend has served them."""
        self._clock = clock
        self._models = Names(MODELS, deployments)
        self._rows: dict[Key, Row] = {}
        self._places: dict[str, tuple[str, int]] = {}
        self.replace(backends)

    def replace(self, backends: Sequence[Backend]) -> None:
        """These are the backends from now on. Where those are that are gone is remembered for what they answered."""
        for backend in backends:
            place = urlsplit(backend.url)
            self._places[backend.name] = place.hostname or "", place.port or (80 if place.scheme == "http" else 443)

    def watch(self, request: Request, route: Route, reply: Reply) -> Watching | None:
        """Watch this reply? Any to a request that makes an answer, but a session."""
        if route.operation is not Operation.INFERENCE or reply.status < 200:
            return None
        stream = reply.status < 300 and kind_of(reply.get(b"content-type") or b"") is Kind.STREAM
        watching = StreamTimes if stream else Times
        return watching(self, request.target, reply.status, self._clock)

    def row(self, target: bytes, status: int, told: Finished) -> Row:
        """Where an operation counts."""
        served = status < 400
        model = self._models.admit(told.deployment) if served else self._models.label(told.deployment)
        error = "" if served else str(status)
        key = names.operation(call_of(target)), names.provider(target), model, told.backend or "", error
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= ROWS:
                key = (*key[:2], OTHER, OTHER, error)
            row = self._rows.setdefault(key, Row())
        return row

    def show(self) -> Iterator[Measured]:
        """All that was measured since the start."""
        for (operation, provider, model, backend, error), row in self._rows.items():
            attributes: dict[str, str | int] = {
                names.OPERATION: operation,
                names.PROVIDER: provider,
                names.REQUEST_MODEL: model,
            }
            place = self._places.get(backend)
            if place is not None:
                attributes[names.SERVER_ADDRESS], attributes[names.SERVER_PORT] = place
            if error:
                attributes[names.ERROR_TYPE] = error
            for name, histogram in (
                (names.DURATION, row.duration),
                (names.TIME_TO_FIRST_CHUNK, row.first),
                (names.TIME_PER_CHUNK, row.chunk),
            ):
                yield name, "s", attributes, histogram.copy()
            for kind, histogram in (("input", row.input), ("output", row.output)):
                yield names.TOKEN_USAGE, "{token}", {**attributes, names.TOKEN_TYPE: kind}, histogram.copy()


class Times:
    """Watches one reply for how long it takes."""

    __slots__ = ("_began", "_clock", "_measuring", "_status", "_target")

    def __init__(self, measuring: Measuring, target: bytes, status: int, clock: Callable[[], float]) -> None:
        self._measuring = measuring
        self._target = target
        self._status = status
        self._clock = clock
        self._began = clock()
        """When it was decided that this reply is relayed."""

    def data(self, chunk: bytes) -> None:
        """A piece of the body."""

    def end(self, told: Finished) -> None:
        """Count it."""
        self._count(told, self._measuring.row(self._target, self._status, told), told.waited)

    def _count(self, told: Finished, row: Row, waited: float) -> None:
        """`waited`: seconds that the backend took before `_began`."""
        row.duration.add(self._clock() - self._began + waited)
        usage = told.usage
        if usage is not None and not (usage.estimated or usage.unknown):
            row.input.add(usage.prompt)
            row.output.add(usage.completion)


class StreamTimes(Times):
    """Watches an event stream: also when its pieces came."""

    __slots__ = ("_chunks", "_first", "_last")

    def __init__(self, measuring: Measuring, target: bytes, status: int, clock: Callable[[], float]) -> None:
        super().__init__(measuring, target, status, clock)
        self._first: float | None = None
        self._last = 0.0
        self._chunks = Histogram(names.SECONDS)

    def data(self, chunk: bytes) -> None:
        now = self._clock()
        if self._first is None:
            self._first = now
        else:
            self._chunks.add(now - self._last)
        self._last = now

    def _count(self, told: Finished, row: Row, waited: float) -> None:
        super()._count(told, row, waited)
        if self._first is not None:
            row.first.add(self._first - self._began + waited)
            chunks = row.chunk
            chunks.counts = [a + b for a, b in zip(chunks.counts, self._chunks.counts, strict=True)]
            chunks.sum += self._chunks.sum
