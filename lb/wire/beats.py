"""Comments between the events of a stream that is silent for long, so that nobody between us and the client takes the
connection for dead. The one thing that adds bytes to a reply; off unless it is asked for.

A line that begins with a colon is a comment (WHATWG HTML standard, section 9.2.6), and every reader drops it.
"""

from __future__ import annotations

from typing import Final, Protocol

from lb.exchange import Reply, Tap

COMMENT: Final = b": keep-alive\n\n"
_BLANK_LINES: Final = (b"\n\n", b"\n\r\n", b"\r\r", b"\r\r\n")
"""How an event may end: a comment within one would be read by some clients as a part of it."""


class Stream(Protocol):
    """A reply on its way to the client."""

    def interject(self, piece: bytes) -> None:
        """Send a piece that no backend sent, unless the client is behind with its reading."""


class Beat:
    """One stream. It is fed behind each write, as the tap that it stands before."""

    __slots__ = ("_beats", "_end", "_stream", "_tap", "heard")

    def __init__(self, beats: Beats, stream: Stream, tap: Tap | None) -> None:
        self._beats = beats
        self._stream = stream
        self._tap = tap
        self._end = b""
        self.heard = beats.now
        """When something last went out; as coarse as the sweep."""

    def data(self, chunk: bytes) -> None:
        """A piece has been relayed."""
        self.heard = self._beats.now
        self._end = chunk[-3:] if len(chunk) >= 3 else (self._end + chunk)[-3:]
        if self._tap is not None:
            self._tap.data(chunk)

    def beat(self, now: float) -> None:
        """Send a comment if an event has just ended. Before the first byte there is nothing to keep alive: the reply's
        head goes out together with it."""
        if self._end.endswith(_BLANK_LINES):
            self.heard = now
            self._stream.interject(COMMENT)

    def end(self) -> None:
        """The stream is over: nothing follows its last byte."""
        self._beats.running.discard(self)


class Beats:
    """All streams of a listener: one look at all of them now and then, instead of a timer for each."""

    def __init__(self, seconds: float, now: float) -> None:
        """`seconds` is how long a stream may be silent; `now` is the event loop's time."""
        self.seconds = seconds
        self.now = now
        self.running: set[Beat] = set()

    def begin(self, stream: Stream, reply: Reply, tap: Tap | None) -> Beat | None:
        """Watch over a reply, if it is a stream of events to which something can be added."""
        kind = reply.get(b"content-type") or b""
        coding = (reply.get(b"content-encoding") or b"").strip().lower()
        if kind[:17].lower() != b"text/event-stream" or coding not in (b"", b"identity") or reply.length is not None:
            return None
        beat = Beat(self, stream, tap)
        self.running.add(beat)
        return beat

    def look(self, now: float) -> None:
        """One sweep."""
        self.now = now
        for beat in [beat for beat in self.running if now - beat.heard >= self.seconds]:
            beat.beat(now)
