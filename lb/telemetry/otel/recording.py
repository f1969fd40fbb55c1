"""What is noted of a request while it is recorded: plain values, out of which spans are made when it is over."""

from binascii import hexlify
from collections.abc import Callable
from typing import Protocol

from lb.balancing.backend import Backend
from lb.events import Attempted, Finished, Judged
from lb.exchange import Request
from lb.metering.usage import Usage
from lb.telemetry.otel.sampling import Parent


class Try:
    """An attempt, and what came of it once it was judged."""

    __slots__ = ("backend", "cooldown", "detail", "ended", "number", "span_id", "started", "status", "target",
                 "verdict")  # fmt: skip

    def __init__(self, span_id: bytes, backend: Backend, target: bytes, number: int, started: float) -> None:
        self.span_id = span_id
        self.backend = backend
        self.target = target
        self.number = number
        self.started = started
        self.ended: float | None = None
        """When it was judged; a reply that is relayed goes on after that."""
        self.status: int | None = None
        self.verdict = ""
        self.detail = ""
        self.cooldown: float | None = None


class Seen:
    """What the answer said of itself, as far as it was watched."""

    __slots__ = ("content", "event", "finish_reasons", "first_chunk", "model", "reply_id", "stream", "usage")

    def __init__(self) -> None:
        self.model = ""
        self.reply_id = ""
        self.finish_reasons: tuple[str, ...] = ()
        self.first_chunk: float | None = None
        """Moment on the process's clock."""
        self.stream = False
        self.usage: Usage | None = None
        self.content: tuple[tuple[str, str], ...] = ()
        """Attributes of the span with prompt and answer, where they are wanted there."""
        self.event: tuple[tuple[str, str], ...] = ()
        """The same of an event."""


class Recorder(Protocol):
    """Who records."""

    clock: Callable[[], float]
    span_id: Callable[[], bytes]
    """A new one."""

    def over(self, trace: "Recording", told: Finished, now: float) -> None:
        """A request that was recorded has ended."""


class Recording:
    """One request (`lb.events.Trace`)."""

    __slots__ = ("_recorder", "context", "method", "parent", "peer", "seen", "span_id", "started", "state",
                 "target", "trace_id", "tries")  # fmt: skip

    def __init__(self, recorder: Recorder, trace_id: bytes, parent: Parent | None, request: Request) -> None:
        self._recorder = recorder
        self.trace_id = trace_id
        self.span_id = recorder.span_id()
        self.parent = parent
        self.method = request.method
        self.target = request.target
        self.peer = request.peer
        self.state = parent.state.decode("latin-1") if parent is not None else ""
        """The caller's tracestate."""
        self.started = recorder.clock()
        self.tries: list[Try] = []
        self.seen: Seen | None = None
        self.context = b""

    def attempted(self, event: Attempted) -> None:
        recorder = self._recorder
        span_id = recorder.span_id()
        self.tries.append(Try(span_id, event.backend, event.target, event.number, recorder.clock()))
        self.context = b"traceparent: 00-%b-%b-01\r\n" % (hexlify(self.trace_id), hexlify(span_id))
        if self.parent is not None and self.parent.state:
            self.context += b"tracestate: %b\r\n" % self.parent.state

    def judged(self, event: Judged) -> None:
        judged = self.tries[-1]
        judged.ended = self._recorder.clock()
        judged.status = event.status
        judged.verdict = event.verdict
        judged.detail = event.detail
        judged.cooldown = event.asked

    def finished(self, event: Finished) -> None:
        now = self._recorder.clock()
        if self.tries and self.tries[-1].ended is None:  # the client left while a backend was being asked
            self.tries[-1].ended, self.tries[-1].verdict = now, event.outcome.value
        self._recorder.over(self, event, now)
