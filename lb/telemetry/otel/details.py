"""Watches the answer to a recorded request for what it says of itself: model, id, why it ended, what it cost.

It is fed behind each write. A JSON body is held up to `HELD` bytes; of an event stream the beginning is read until it
has told model and id, and what came last is held, since a stream tells why it ended, and its cost, at its end.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from lb.balancing.routing import Operation, Route
from lb.events import Finished
from lb.exchange import Reply, Request
from lb.metering.sse import EventReader
from lb.metering.tail import Tail
from lb.metering.tap import Inflate, Kind, inflater, kind_of
from lb.metering.usage import read_usage
from lb.spine.watching import Watching
from lb.telemetry.otel.recording import Recording, Seen

HELD: Final = 64 * 1024
"""Bytes of a JSON reply; embeddings may be larger, and then only its end is looked at."""
OPENING: Final = 16 * 1024
"""Bytes of a stream in which it has to say which model answers."""
ENDING: Final = 8 * 1024
"""Bytes from the end in which the rest is looked for."""
_SHOWN: Final = 256
"""Characters of an id or a model's name."""
_REASON: Final = re.compile(rb'"finish_reason" ?: ?"(\w{1,64})"')
_ENDED: Final = re.compile(rb'"type" ?: ?"response\.(completed|incomplete|failed)"')
_INCOMPLETE: Final = re.compile(rb'"incomplete_details" ?: ?\{ ?"reason" ?: ?"(\w{1,64})"')


def watch_details(clock: Callable[[], float]) -> Callable[[Request, Route, Reply], Watching | None]:
    """A `Watch` of answers to recorded requests."""

    def watch(request: Request, route: Route, reply: Reply) -> Watching | None:
        trace = request.trace
        if not isinstance(trace, Recording) or route.operation is not Operation.INFERENCE:
            return None
        if not 200 <= reply.status < 300:
            return None
        kind = kind_of(reply.get(b"content-type") or b"")
        seen = trace.seen = Seen()
        if kind is Kind.MUTE:
            return None
        inflate = inflater(reply.get(b"content-encoding") or b"")
        return BodyDetails(seen, inflate) if kind is Kind.BODY else StreamDetails(seen, inflate, clock)

    return watch


class _Details:
    """Watches one answer; what it finds is the recording's."""

    __slots__ = ("_inflate", "_kept", "_seen", "_size", "_whole")
    _most = HELD

    def __init__(self, seen: Seen, inflate: Inflate | None) -> None:
        self._seen = seen
        self._inflate = inflate
        self._kept: list[bytes] = []
        self._size = 0
        self._whole = True

    def data(self, chunk: bytes) -> None:
        """A piece of the body. Never raises."""
        if self._inflate is None:
            self._take(chunk)
            return
        try:
            for piece in self._inflate(chunk):
                self._take(piece)
        except Exception:  # a body that is not what its head says: no details, and no harm to the relay
            self._kept = []
            self._inflate = _nothing

    def end(self, told: Finished) -> None:
        """Read what was held."""
        kept = self._kept
        try:
            self._read(kept[0] if len(kept) == 1 else b"".join(kept), told.usage is None)
        except Exception:
            return  # likewise

    def _take(self, piece: bytes) -> None:
        self._kept.append(piece)
        self._size += len(piece)
        if self._size > self._most:
            self._shorten()

    def _shorten(self) -> None:
        self._whole = False
        self._kept = [b"".join(self._kept)[-ENDING:]]
        self._size = len(self._kept[0])

    @abstractmethod
    def _read(self, held: bytes, usage: bool) -> None:
        """Note what it says. `usage`: nobody else has read what it cost."""

    def _read_ending(self, ending: bytes, usage: bool) -> None:
        if usage:
            tail = Tail()
            tail.feed(ending)
            self._seen.usage = tail.usage(2)
        reasons = _REASON.findall(ending)
        ended = _ENDED.search(ending)
        if not reasons and ended is not None:
            incomplete = _INCOMPLETE.search(ending)
            reasons = [incomplete[1] if incomplete is not None else ended[1]]
        self._seen.finish_reasons = tuple([reason.decode() for reason in reasons])


class BodyDetails(_Details):
    """Of a JSON reply."""

    __slots__ = ()

    def _read(self, held: bytes, usage: bool) -> None:
        if not self._whole:
            self._read_ending(held, usage)
            return
        told, seen = orjson.loads(held), self._seen
        seen.model, seen.reply_id = _name(told.get("model")), _name(told.get("id"))
        if usage:
            seen.usage = read_usage(told.get("usage"))
        choices = told.get("choices")
        if choices:
            found = [choice.get("finish_reason") for choice in choices if isinstance(choice, dict)]
        elif isinstance(told.get("status"), str):
            why = told.get("incomplete_details")
            found = [why.get("reason") if isinstance(why, dict) else told["status"]]
        else:
            return
        seen.finish_reasons = tuple([reason[:_SHOWN] for reason in found if isinstance(reason, str)])


class StreamDetails(_Details):
    """Of an event stream."""

    __slots__ = ("_clock", "_events", "_opening")
    _most = 2 * ENDING

    def __init__(self, seen: Seen, inflate: Inflate | None, clock: Callable[[], float]) -> None:
        super().__init__(seen, inflate)
        seen.stream = True
        self._clock = clock
        self._events: EventReader | None = EventReader(OPENING)
        self._opening = 0

    def data(self, chunk: bytes) -> None:
        """A piece of the body. Never raises."""
        if self._seen.first_chunk is None:
            self._seen.first_chunk = self._clock()
        if self._events is not None or self._inflate is not None:
            super().data(chunk)
            return
        self._kept.append(chunk)  # most pieces
        self._size += len(chunk)
        if self._size > self._most:
            self._shorten()

    def _take(self, piece: bytes) -> None:
        if self._events is not None:
            self._read_opening(self._events, piece)
        super()._take(piece)

    def _read_opening(self, events: EventReader, piece: bytes) -> None:
        self._opening += len(piece)
        try:
            for event in events.feed(piece):
                self._note_names(_object(event.data))
        except Exception:  # an event larger than that, or one in a shape that nobody has thought of
            self._events = None
            return
        if (self._seen.model and self._seen.reply_id) or self._opening > OPENING:
            self._events = None

    def _note_names(self, told: Mapping[str, Any]) -> None:
        response = told.get("response")
        for part in (told, response if isinstance(response, dict) else {}):
            self._seen.model = self._seen.model or _name(part.get("model"))
            self._seen.reply_id = self._seen.reply_id or _name(part.get("id"))

    def _read(self, held: bytes, usage: bool) -> None:
        self._read_ending(held, usage)


def _nothing(chunk: bytes) -> Iterator[bytes]:
    return iter(())


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else, such as `[DONE]`."""
    try:
        told = orjson.loads(data)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _name(value: object) -> str:
    return value[:_SHOWN] if isinstance(value, str) else ""
