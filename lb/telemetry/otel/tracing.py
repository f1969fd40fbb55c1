"""The observer that records requests: decides which, notes what becomes of them, and hands over spans at the end."""

from collections.abc import Callable, Sequence
from typing import Protocol

from lb.events import Attempted, Finished, Judged, Observer
from lb.exchange import Request
from lb.telemetry.otel.recording import Recording, Try
from lb.telemetry.otel.sampling import Sampler, names_context, read_parent, without_context
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
        told = names_context(request.fields)
        parent = read_parent(request.fields) if told else None
        if parent is None:
            trace_id = self._sampler.root()
            if trace_id is None:
                return None
        elif not self._sampler.takes(parent):
            return None
        else:
            trace_id = parent.trace_id
        if told:
            request.fields = without_context(request.fields)
        return Recording(
            trace_id, self._sampler.span_id(), parent, request.method, request.target, request.peer, self._clock()
        )

    def _attempted(self, event: Attempted) -> None:
        trace = event.trace
        if isinstance(trace, Recording):
            trace.attempt(Try(self._sampler.span_id(), event.backend, event.target, event.number, self._clock()))

    def _judged(self, event: Judged) -> None:
        trace = event.trace
        if isinstance(trace, Recording) and trace.tries:
            judged = trace.tries[-1]
            judged.ended = self._clock()
            judged.status = event.status
            judged.verdict = event.verdict
            judged.detail = event.detail
            judged.cooldown = event.asked

    def _finished(self, event: Finished) -> None:
        trace = event.trace
        if not isinstance(trace, Recording):
            return
        now = self._clock()
        if trace.tries and trace.tries[-1].ended is None:  # the client left while a backend was being asked
            trace.tries[-1].ended, trace.tries[-1].verdict = now, event.outcome.value
        spans = spans_of(trace, event, now, self._wall() - now, system=self._system)
        for export in self._exports:
            export.put(spans)
