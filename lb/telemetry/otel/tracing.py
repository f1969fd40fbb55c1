"""The observer that records requests: decides which, notes what becomes of them, and hands over spans at the end."""

from collections.abc import Callable, Sequence
from typing import Protocol

from lb.events import Attempted, Finished, Judged, Observer
from lb.exchange import Request
from lb.telemetry.otel.recording import Begun, Recording, Try
from lb.telemetry.otel.sampling import Sampler, read_parent, without_context
from lb.telemetry.otel.spans import Span, spans_of


class Export(Protocol):
    """Where spans go. It must neither block nor raise."""

    def put(self, spans: Sequence[Span]) -> None:
        """Take the spans of one request."""


class Tracing(Observer):
    """Asked by the gateway for each request, then told by events."""

    def __init__(
        self,
        sampler: Sampler,
        exports: Sequence[Export],
        clock: Callable[[], float],
        wall: Callable[[], float],
        *,
        system: bool = False,
    ) -> None:
        """`system` adds the attribute `gen_ai.system`."""
        self._sampler = sampler
        self._exports = tuple(exports)
        self._clock = clock
        self._wall = wall
        self._system = system
        self.tells = {Attempted: self._attempted, Judged: self._judged, Finished: self._finished}

    def begin(self, request: Request) -> Recording | None:
        """Record this request? Then the caller's context is taken out of its fields: each attempt has one of its own.

        One that is not recorded stays as it is.
        """
        parent = read_parent(request.fields)
        if parent is None:
            trace_id = self._sampler.root()
            if trace_id is None:
                return None
        elif not self._sampler.takes(parent):
            return None
        else:
            trace_id = parent.trace_id
        request.fields = without_context(request.fields)
        return Recording(
            trace_id, self._sampler.span_id(), parent, request.method, request.target, request.peer, self._clock()
        )

    def _attempted(self, event: Attempted) -> None:
        trace = event.trace
        if isinstance(trace, Recording):
            trace.begin(Begun(self._sampler.span_id(), event.backend, event.target, event.number, self._clock()))

    def _judged(self, event: Judged) -> None:
        trace = event.trace
        if isinstance(trace, Recording) and trace.begun is not None:
            told = self._clock(), event.status, event.verdict, event.detail, event.asked
            trace.tries.append(Try(*trace.begun, *told))
            trace.begun = None

    def _finished(self, event: Finished) -> None:
        trace = event.trace
        if not isinstance(trace, Recording):
            return
        now = self._clock()
        if trace.begun is not None:  # the client left while a backend was being asked
            trace.tries.append(Try(*trace.begun, now, None, event.outcome.value, "", None))
        spans = spans_of(trace, event, now, self._wall() - now, system=self._system)
        for export in self._exports:
            export.put(spans)
