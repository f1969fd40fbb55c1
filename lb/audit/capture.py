"""Keeps what one request and its reply said until the request is over: references only, within a bound.

Costs a reply a look at its head, and each of its pieces a place in a list. Everything that takes time is the clerk's.
"""

from collections.abc import Callable
from typing import Any, Protocol

from lb.audit.choice import Choice, Sampling, Who
from lb.balancing.routing import Operation, Route
from lb.events import Finished
from lb.exchange import Reply, Request
from lb.metering.tap import call_of
from lb.metering.usage import Usage

REPLY_MAX = 4 * 1024 * 1024
"""Bytes of one reply that are kept; a record shows less."""
NO_MEMORY = "no memory: too much waits to be recorded"


class Feed(Protocol):
    """Where captures go."""

    def take(self, size: int) -> bool:
        """May this many bytes more be kept? They are given back once they have been sent."""

    def send(self, facts: dict[str, Any], request: bytes, reply: list[bytes]) -> None:
        """Hand one over. Never blocks, never raises."""


class Capture:
    """What was said so far. Watches one reply."""

    __slots__ = ("_auditing", "_request", "_room", "data", "dropped", "kinds", "length", "pieces", "said", "truncated")

    def __init__(self, auditing: "Auditing", request: Request, reply: Reply) -> None:
        self._auditing = auditing
        self._request = request
        self._room = REPLY_MAX
        body = request.body
        whole = isinstance(body, bytes)
        self.said = body if isinstance(body, bytes) else body.prefix
        self.length = len(self.said) if isinstance(body, bytes) else body.length
        self.pieces: list[bytes] = []
        self.truncated = not whole
        self.kinds = (reply.get(b"content-type") or b"", reply.get(b"content-encoding") or b"")
        self.dropped = not auditing.feed.take(len(self.said))
        """There is no room to keep what is said."""
        self.data: Callable[[bytes], None] = _ignore if self.dropped else self._keep
        if self.dropped:
            self.said = b""

    def _keep(self, chunk: bytes) -> None:
        size = len(chunk)
        if size <= self._room and self._auditing.feed.take(size):
            self._room -= size
            self.pieces.append(chunk)
            return
        self.truncated = True
        self.data = _ignore

    def end(self, told: Finished) -> None:
        """The observer is told of the end as soon as everything about it is known."""
        self.data = _ignore
        self._auditing.ending[id(told)] = self

    def facts(self, told: Finished, began: float) -> dict[str, Any]:
        """All that a record says but for its content, and how that is to be read, as it is at hand: the clerk makes a
        record of it (`lb.audit.records`)."""
        request, usage = self._request, told.usage
        kind, coding = self.kinds
        return {
            "timestamp": began,
            "level": "info",
            "event": "Audit",
            "request_id": told.request_id,
            "tenant": told.tenant,
            "caller": request.caller,
            "ip": request.peer,
            "forwarded_for": request.forwarded_for.decode("latin-1"),
            "method": told.method,
            "path": request.target.decode("latin-1"),
            "call": call_of(request.target),
            "deployment": told.deployment,
            "backend": told.backend,
            "status": told.status,
            "outcome": told.outcome.value,
            "attempts": told.attempts,
            "throttled": told.throttled,
            "ms": told.seconds,
            "first_byte_ms": told.first_byte,
            "tokens": None if usage is None else _tokens(usage),
            "truncated": self.truncated or None,
            "content_dropped": NO_MEMORY if self.dropped else None,
            "asked": _reading(request.content_type, request.content_encoding, self.length),
            "told": _reading(kind, coding, sum(map(len, self.pieces))),
        }


class Auditing:
    """Captures the replies that are to be recorded, and hands each over when its request has ended.

    `wall` is seconds since the epoch.
    """

    def __init__(self, feed: Feed, wall: Callable[[], float], sampling: Sampling, choice: Choice) -> None:
        self.feed = feed
        self.choice = choice
        self.ending: dict[int, Capture] = {}
        """Of requests whose end is known and not told yet, by the identity of what will be told."""
        self._wall = wall
        self._sampling = sampling
        self.tells = {Finished: self.finished}

    def watch(self, request: Request, route: Route, reply: Reply) -> Capture | None:
        """Captures what is to be recorded: what was sent, not what was only read or deleted, nor a WebSocket's talk."""
        if route.operation is Operation.SAFE or reply.status == 101:
            return None
        who = self.choice.of(request.asker.name or request.caller)
        if who is Who.NONE or (who is Who.SAMPLE and not self._sampling.has(request.id, self.choice.share)):
            return None
        return Capture(self, request, reply)

    def finished(self, told: Finished) -> None:
        capture = self.ending.pop(id(told), None)
        if capture is not None:
            self.feed.send(capture.facts(told, self._wall() - told.seconds), capture.said, capture.pieces)


def _reading(kind: bytes, coding: bytes, length: int | None) -> tuple[str, str, int | None]:
    return kind.decode("latin-1"), coding.decode("latin-1"), length


def _tokens(usage: Usage) -> tuple[object, ...]:
    known = "unknown" if usage.unknown else "estimated" if usage.estimated else "reported"
    return known, usage.prompt, usage.completion, usage.total, usage.cached, usage.reasoning


def _ignore(chunk: bytes) -> None: ...
