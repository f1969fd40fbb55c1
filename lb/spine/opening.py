"""The opening of a reply: what has to be read, and held, before it is known whether the reply is worth relaying.

Everything read here is kept by the reply and relayed verbatim if it comes to that.
"""

import asyncio
import zlib
from typing import Protocol

from lb.balancing.stream_verdict import judge_event
from lb.balancing.verdict import RELAY, Judge, Verdict
from lb.exchange import Reply
from lb.metering.sse import EventReader

HOLD_SECONDS = 1.0
"""How long a stream is held at most, from the first byte of its body on."""
HOLD_BYTES = 256 * 1024
ERROR_BYTES = 16 * 1024
"""How much of an error's body is read to tell a missing deployment from any other 404."""


def is_event_stream(reply: Reply) -> bool:
    """Is the body a stream of server-sent events?"""
    kind = reply.get(b"content-type")
    return kind is not None and kind[:17].lower() == b"text/event-stream"


async def read_error(reply: Reply) -> bytes:
    """The beginning of an error's body. Raises `BackendFailed` when it is cut."""
    held = b""
    try:
        async with asyncio.timeout(HOLD_SECONDS):
            while len(held) < ERROR_BYTES and (chunk := await reply.more()):
                held += chunk
    except TimeoutError:
        pass  # it is relayed as it comes
    try:
        return inflater(reply)(held)
    except ValueError:
        return b""  # packed in a way that we cannot read


async def judge_opening(reply: Reply, judge: Judge) -> Verdict:
    """Judge a stream by its first decisive event, within the time and size that it may be held.

    Raises `BackendFailed` when the backend cuts it before.
    """
    opening = _Opening(reply, judge)
    chunk = await reply.more()
    verdict = opening.read(chunk)
    if verdict is not None:
        return verdict
    try:
        async with asyncio.timeout(HOLD_SECONDS):
            while verdict is None:
                verdict = opening.read(await reply.more())
    except TimeoutError:
        return RELAY
    return verdict


class _Opening:
    """Reads events until one decides."""

    def __init__(self, reply: Reply, judge: Judge) -> None:
        self._reply = reply
        self._judge = judge
        self._events = EventReader(HOLD_BYTES)
        self._inflate = inflater(reply)
        self._held = 0

    def read(self, chunk: bytes) -> Verdict | None:
        """Take the next piece; None while nothing is decided."""
        self._held += len(chunk)
        try:
            events = self._events.feed(self._inflate(chunk)) if chunk else self._events.end()
        except ValueError:
            return RELAY  # larger than we hold, or packed in a way that we cannot read
        for event in events:
            verdict = judge_event(event.name, event.data, lambda reason: self._judge.throttled(reason, self._reply.get))
            if verdict is not None:
                return verdict
        return RELAY if not chunk or self._held > HOLD_BYTES else None


class _Inflate(Protocol):
    def __call__(self, packed: bytes, /) -> bytes: ...


def inflater(reply: Reply) -> _Inflate:
    """A reader for the body's content coding; for a coding that we do not know it raises ValueError."""
    coding = (reply.get(b"content-encoding") or b"").strip().lower()
    if coding in (b"", b"identity"):
        return bytes
    if coding not in (b"gzip", b"x-gzip", b"deflate"):
        return _unknown
    reader = zlib.decompressobj(wbits=47 if coding != b"deflate" else 15)

    def inflate(packed: bytes, /) -> bytes:
        try:
            return reader.decompress(packed, HOLD_BYTES)
        except zlib.error as problem:
            raise ValueError(str(problem)) from None

    return inflate


def _unknown(packed: bytes, /) -> bytes:
    raise ValueError("unknown content coding")
