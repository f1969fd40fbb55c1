"""Records requests: decides which, and hands over their spans at the end."""

from collections.abc import Callable, Sequence
from typing import Protocol

from lb.events import Finished
from lb.exchange import Request
from lb.telemetry.otel.recording import Recording
from lb.telemetry.otel.sampling import Plain, Sampler, read_parent
from lb.telemetry.otel.spans import Span, spans_of


class Export(Protocol):
    """Where spans go. It must neither block nor raise."""

    def put(self, spans: Sequence[Span]) -> None:
        """Take the spans of one request."""


class Tracing:
    """Asked by the gateway for each request. What is recorded comes back to it once it is over."""

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
        self.clock = clock
        self.span_id = sampler.span_id
        self._wall = wall
        self._plain = Plain()
        self._system = system

    def begin(self, request: Request) -> Recording | None:
        """Record this request? Then the caller's context is taken out of its fields: each attempt has one of its own.

        One that is not recorded stays as it is.
        """
        plain = request.fields in self._plain
        parent = None if plain else read_parent(request.fields)
        if parent is None:
            trace_id = self._sampler.root()
            if trace_id is None:
                return None
        elif not self._sampler.takes(parent):
            return None
        else:
            trace_id = parent.trace_id
        if not plain:
            request.drop(b"traceparent", b"tracestate")
        return Recording(self, trace_id, parent, request)

    def over(self, trace: Recording, told: Finished, now: float) -> None:
        """Make its spans, and hand them over."""
        spans = spans_of(trace, told, now, self._wall() - now, system=self._system)
        for export in self._exports:
            export.put(spans)
