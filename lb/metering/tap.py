"""Watches the body of one reply for what it cost. Fed behind the relay's write; delays, changes and breaks nothing."""

import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache

from lb.metering.estimate import Count, rough
from lb.metering.replies import BodyReader, Mute, Reader
from lb.metering.streams import StreamReader
from lb.metering.usage import UNKNOWN, Usage

BLOCK = 16 * 1024
"""Bytes of a stream that gather before they are looked at."""
INFLATED = 64 * 1024
"""Bytes that are unpacked at once."""
_CALLS = {
    "chat/completions": "chat",
    "completions": "completions",
    "responses": "responses",
    "embeddings": "embeddings",
    "audio/transcriptions": "transcriptions",
    "audio/translations": "translations",
    "audio/speech": "speech",
    "images/generations": "images",
    "images/edits": "images",
    "moderations": "moderations",
    "realtime": "realtime",
    "v1/messages": "messages",
}
OTHER = "other"


@lru_cache(maxsize=1024)
def call_of(target: bytes) -> str:
    """Which API a request's target belongs to, in one word of a closed set: a label for metrics."""
    path = target.partition(b"?")[0].decode("ascii", "replace").lower()
    segments = [segment for segment in path.split("/") if segment]
    if segments[:2] == ["openai", "deployments"]:
        segments = segments[3:]  # a deployment may well be called `chat`
    return _CALLS.get("/".join(segments[-2:])) or _CALLS.get("".join(segments[-1:])) or OTHER


class Kind(Enum):
    """What a reply's body is, as far as its cost is concerned."""

    BODY = "body"  # JSON
    STREAM = "stream"  # of events
    MUTE = "mute"  # speech, pictures, text: nothing in it says what it cost


@lru_cache(maxsize=256)
def kind_of(content_type: bytes) -> Kind:
    """By the media type."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"text/event-stream":
        return Kind.STREAM
    return Kind.BODY if kind == b"application/json" or kind.endswith(b"+json") else Kind.MUTE


class UsageTap:
    """Feed it with `data`, then ask for `usage` once; after that, for an estimate, `recount` may be asked anywhere.

    `prompt` counts the request's prompt: it is asked only when the reply does not tell, or in a `hurry`, as soon as the
    beginning of a stream is under way, so that the request can be let go. `keep` keeps the reply's text for `recount`.
    """

    __slots__ = ("_gathered", "_inflate", "_keep", "_prompt", "_prompt_tokens", "_reader", "_room", "data", "failure")

    def __init__(
        self,
        content_type: bytes,
        content_encoding: bytes,
        prompt: Callable[[Count], int],
        *,
        keep: bool = False,
        hurry: bool = False,
    ) -> None:
        self._prompt: Callable[[Count], int] | None = prompt
        self._prompt_tokens = 0
        self._keep = keep
        self._gathered: list[bytes] = []
        self._room = BLOCK
        self._inflate = inflater(content_encoding)
        self._reader: Reader = _reader(content_type, keep) if self._inflate is not _nothing else Mute()
        self.failure: Exception | None = None
        """What went wrong while reading: a bug, or a body that is not what its head says."""
        self.data: Callable[[bytes], None] = self._gather
        """Takes a piece of the body. Never raises; after a failure it looks no further."""
        if hurry and isinstance(self._reader, StreamReader):
            self.data = self._first

    def _first(self, chunk: bytes) -> None:
        """With the beginning of a stream under way, there is time for the prompt."""
        try:
            self._count_prompt()
        except Exception as failure:
            self.failure = failure
        self.data = self._gather
        self._gather(chunk)

    def _gather(self, chunk: bytes) -> None:
        """Most pieces are an event or less; looking at each would cost more than all that is in it."""
        self._gathered.append(chunk)
        self._room -= len(chunk)
        if self._room <= 0:
            self._look()

    def _look(self) -> None:
        """Read what has gathered."""
        gathered, self._gathered, self._room = self._gathered, [], BLOCK
        block = gathered[0] if len(gathered) == 1 else b"".join(gathered)
        try:
            if self._inflate is None:
                self._reader.feed(block)
            else:
                for piece in self._inflate(block):
                    self._reader.feed(piece)
        except Exception as failure:
            self.failure = failure
            self._inflate = _nothing

    def usage(self) -> Usage:
        """What the reply cost: as told; else, for a stream, as counted; else unknown. Never raises."""
        self.data = _ignore  # no cycle of references is left to be collected
        if self._gathered:
            self._look()
        try:
            return self._reader.reported() or self._estimated(None)
        except Exception as failure:
            self.failure = failure
            return UNKNOWN

    def _count_prompt(self) -> None:
        if self._prompt is None or self._prompt_tokens:
            return
        self._prompt_tokens = self._prompt(rough)
        if not self._keep:
            self._prompt = None

    def recount(self, count: Count) -> Usage:
        """The estimate again, by a better count. It takes long: not for the event loop."""
        return self._estimated(count)

    def _estimated(self, count: Count | None) -> Usage:
        completion = self._reader.counted(count)
        if completion is None:
            return UNKNOWN
        if count is None:
            self._count_prompt()
        prompt = self._prompt_tokens if count is None or self._prompt is None else self._prompt(count)
        return Usage(prompt=prompt, completion=completion, total=prompt + completion, estimated=True)


def _ignore(chunk: bytes) -> None: ...


Inflate = Callable[[bytes], Iterator[bytes]]


def _nothing(packed: bytes) -> Iterator[bytes]:
    return iter(())


def _reader(content_type: bytes, keep: bool) -> Reader:
    kind = kind_of(content_type)
    if kind is Kind.STREAM:
        return StreamReader(keep=keep)
    return BodyReader() if kind is Kind.BODY else Mute()


def inflater(coding: bytes) -> Inflate | None:
    """Unpacks the body's content coding; None where there is nothing to unpack."""
    coding = coding.strip().lower()
    if coding in (b"", b"identity"):
        return None
    if coding in (b"gzip", b"x-gzip"):
        return _Unpacking(31).feed
    return _Unpacking(15).feed if coding == b"deflate" else _nothing


class _Unpacking:
    """Unpacks what comes in any pieces. Raises zlib.error for what was not packed so."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._reader = zlib.decompressobj(wbits)
        self._early = b""
        """What came before the first byte was unpacked: a wrong header shows with its second byte."""
        self._begun = False

    def feed(self, packed: bytes) -> Iterator[bytes]:
        if not self._begun:
            self._early += packed
        while packed:
            try:
                piece = self._reader.decompress(packed, INFLATED)
            except zlib.error:
                if self._begun or self._wbits != 15:
                    raise
                self._wbits = -15  # `deflate` without the wrapping that RFC 9110 section 8.4.1.2 asks for
                self._reader = zlib.decompressobj(-15)
                packed = self._early
                continue
            if piece:
                self._begun, self._early = True, b""
                yield piece
            packed = self._reader.unconsumed_tail or self._next_member()

    def _next_member(self) -> bytes:
        """What stands behind the end of a gzip member is another one (RFC 1952 section 2.2)."""
        rest = self._reader.unused_data
        if rest and self._wbits == 31:
            self._reader = zlib.decompressobj(31)
            return rest
        return b""
