"""What is noted of a request while it is recorded: plain values, out of which spans are made when it is over."""

from lb.balancing.backend import Backend
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


class Recording:
    """One request (`lb.events.Trace`)."""

    __slots__ = ("_context", "method", "parent", "peer", "seen", "span_id", "started", "target", "trace_id",
                 "tries")  # fmt: skip

    def __init__(
        self, trace_id: bytes, span_id: bytes, parent: Parent | None, method: str, target: bytes, peer: str, now: float
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.method = method
        self.target = target
        self.peer = peer
        self.started = now
        self.tries: list[Try] = []
        self.seen: Seen | None = None
        self._context = b""

    @property
    def context(self) -> bytes:
        """The lines by which the backend that is being asked learns of its span."""
        return self._context

    def attempt(self, begun: Try) -> None:
        """The next one."""
        self.tries.append(begun)
        ids = self.trace_id.hex(), begun.span_id.hex()
        self._context = b"traceparent: 00-%b-%b-01\r\n" % (ids[0].encode(), ids[1].encode())
        if self.parent is not None and self.parent.state:
            self._context += b"tracestate: %b\r\n" % self.parent.state

    @property
    def state(self) -> str:
        """The caller's tracestate."""
        return self.parent.state.decode("latin-1") if self.parent is not None else ""
