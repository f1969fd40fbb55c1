"""What is noted of a request while it is recorded: plain values, out of which spans are made when it is over."""

from binascii import hexlify
from collections.abc import Callable
from typing import Protocol

from lb.balancing.backend import Backend
from lb.events import Attempted, Finished, Judged, Outcome
from lb.exchange import Request
from lb.metering.usage import Usage
from lb.telemetry.otel.sampling import Parent


class Try:
    """An attempt, and what came of it once it was judged."""

    __slots__ = ("backend", "cooldown", "detail", "ended", "number", "outcome", "span_id", "started", "status",
                 "target", "verdict")  # fmt: skip

    def __init__(self, span_id: bytes, backend: Backend, target: bytes, number: int, started: float) -> None:
        self.span_id = span_id
        self.backend = backend
        self.target = target
        self.number = number
        self.started = started
        self.ended: float | None = None
        """When it was judged; where its reply was taken, when that ended."""
        self.status: int | None = None
        self.verdict = ""
        self.detail = ""
        self.cooldown: float | None = None
        self.outcome: Outcome | None = None
        """How its reply ended, where that was taken."""


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


class Part:
    """One of the requests that are made of a recorded one (`lb.events.Trace`). Its attempts stand among those of the
    whole, and only its own are told to it."""

    __slots__ = ("_last", "_recorder", "context", "parent", "trace_id", "tries")

    def __init__(self, recorder: Recorder, trace_id: bytes, parent: Parent | None, tries: list[Try]) -> None:
        self._recorder = recorder
        self._last: Try | None = None
        self.trace_id = trace_id
        self.parent = parent
        self.tries = tries
        self.context = b""

    def part(self) -> "Part":
        return Part(self._recorder, self.trace_id, self.parent, self.tries)

    def attempted(self, event: Attempted) -> None:
        recorder = self._recorder
        span_id = recorder.span_id()
        self._last = Try(span_id, event.backend, event.target, event.number, recorder.clock())
        self.tries.append(self._last)
        self.context = b"traceparent: 00-%b-%b-01\r\n" % (hexlify(self.trace_id), hexlify(span_id))
        if self.parent is not None and self.parent.state:
            self.context += b"tracestate: %b\r\n" % self.parent.state

    def judged(self, event: Judged) -> None:
        judged = self._last
        assert judged is not None  # noqa: S101 - what is judged was attempted
        judged.ended = self._recorder.clock()
        judged.status = event.status
        judged.verdict = event.verdict
        judged.detail = event.detail
        judged.cooldown = event.asked

    def finished(self, event: Finished) -> None:
        self._end(event.outcome, self._recorder.clock())

    def _end(self, outcome: Outcome, now: float) -> None:
        last = self._last
        if last is None:
            return
        if last.ended is None:  # whoever asked left while the backend was being asked
            last.ended, last.verdict = now, outcome.value
        elif last.verdict == "relayed":
            last.ended, last.outcome = now, outcome


class Recording(Part):
    """One request."""

    __slots__ = ("method", "peer", "seen", "span_id", "started", "state", "target")

    def __init__(self, recorder: Recorder, trace_id: bytes, parent: Parent | None, request: Request) -> None:
        super().__init__(recorder, trace_id, parent, [])
        self.span_id = recorder.span_id()
        self.method = request.method
        self.target = request.target
        self.peer = request.peer
        self.state = parent.state.decode("latin-1") if parent is not None else ""
        """The caller's tracestate."""
        self.started = recorder.clock()
        self.seen: Seen | None = None

    def finished(self, event: Finished) -> None:
        now = self._recorder.clock()
        self._end(event.outcome, now)
        self._recorder.over(self, event, now)
