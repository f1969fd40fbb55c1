"""Reads from a reply which objects its backend has, behind each write to the client."""

from collections.abc import Callable

from lb.balancing.affinity import Affinity
from lb.balancing.creations import Creation, first, told, unless_named
from lb.events import Finished
from lb.exchange import Reply
from lb.spine.opening import inflater, is_event_stream

READ_MAX = 256 * 1024
"""Bytes of a reply, or of a line of an event stream, that are read: in 2 ms at most. Of a longer reply only its id."""
_MARK = b'"id"'


class Learner:
    """Watches one reply from `backend`; what is made there is `tenant`'s, but for what its request `named`."""

    __slots__ = ("_affinity", "_backend", "_feed", "_held", "_inflate", "_lines", "_named", "_size", "_tenant")

    def __init__(
        self,
        affinity: Affinity,
        backend: str,
        tenant: str | None,
        reply: Reply,
        named: frozenset[bytes] = frozenset(),
    ) -> None:
        self._affinity = affinity
        self._backend = backend
        self._tenant = tenant
        self._named = named
        self._lines = is_event_stream(reply)
        self._feed: Callable[[bytes], None] = self._feed_lines if self._lines else self._feed_body
        self._inflate = inflater(reply) if reply.get(b"content-encoding") else None
        self._held: list[bytes] = []
        """The body so far, or the beginning of a line."""
        self._size = 0

    def data(self, chunk: bytes) -> None:
        """A piece has been relayed. Never raises."""
        if self._inflate is not None:
            try:
                chunk = self._inflate(chunk)
            except ValueError:
                self._feed = _ignore  # packed in a way that we cannot read
        self._feed(chunk)

    def end(self, told: Finished) -> None:
        """The reply is over, or cut."""
        self._read(b"".join(self._held))
        self._held, self._feed = [], _ignore

    def _feed_body(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size > READ_MAX:
            self._learn_first(b"".join(self._held))
            self._held, self._feed = [], _ignore

    def _feed_lines(self, chunk: bytes) -> None:
        """Whole lines are looked at; what has not ended is kept."""
        end = chunk.rfind(b"\n") + 1 or chunk.rfind(b"\r") + 1
        if not end:
            self._keep(chunk)
            return
        lines = chunk if end == len(chunk) else chunk[:end]
        if self._size:
            lines = b"".join(self._held) + lines if self._size <= READ_MAX else _behind_line(lines)
            self._held, self._size = [], 0
        if _MARK in lines:
            for line in lines.splitlines():
                self._read(line)
        if end < len(chunk):
            self._keep(chunk[end:])

    def _keep(self, piece: bytes) -> None:
        """A line that is too long is not read to its end, so nothing of it is kept."""
        self._size += len(piece)
        if self._size > READ_MAX:
            self._held = []
        else:
            self._held.append(piece)

    def _read(self, text: bytes) -> None:
        """Learn from a body, or from a line."""
        if _MARK not in text or len(text) > READ_MAX:
            return
        if self._lines:
            if text.startswith(b"data:"):
                self._learn(told(text[5:]))
            return
        found = told(text)
        if found:
            self._learn(found)
        else:
            self._learn_first(text)

    def _learn_first(self, text: bytes) -> None:
        self._learn(first(text))

    def _learn(self, found: list[Creation]) -> None:
        self._affinity.learn(unless_named(found, self._named) if self._named else found, self._backend, self._tenant)


def _ignore(chunk: bytes) -> None: ...


def _behind_line(lines: bytes) -> bytes:
    """What follows the line that was too long."""
    return lines[lines.find(b"\n") + 1 or lines.find(b"\r") + 1 :]
