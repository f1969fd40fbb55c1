"""Watches the answer to a recorded request for what it says of itself: model, id, why it ended, what it cost.

It is fed behind each write. A JSON body is held up to `HELD` bytes; of an event stream the beginning, until it has told
model and id, and then what came last, since a stream tells why it ended, and its cost, at its end.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from lb.balancing.routing import Operation, Route
from lb.events import Finished
from lb.exchange import Reply, Request
from lb.metering.sse import EventReader
from lb.metering.tail import Tail
from lb.metering.tap import Kind, inflater, kind_of
from lb.metering.usage import read_usage
from lb.spine.watching import Watching
from lb.telemetry.otel.recording import Recording, Seen

HELD: Final = 64 * 1024
"""Bytes of a JSON reply; embeddings may be larger, and then only its end is looked at."""
OPENING: Final = 16 * 1024
"""Bytes of a stream in which it has to say which model answers."""
ENDING: Final = 8 * 1024
_SHOWN: Final = 256
"""Characters of an id or a model's name."""
_REASON: Final = re.compile(rb'"finish_reason" ?: ?"(\w{1,64})"')
_ENDED: Final = re.compile(rb'"type" ?: ?"response\.(completed|incomplete|failed)"')
_INCOMPLETE: Final = re.compile(rb'"incomplete_details" ?: ?\{ ?"reason" ?: ?"(\w{1,64})"')


def watch_details(clock: Callable[[], float]) -> Callable[[Request, Route, Reply], Watching | None]:
    """A `Watch` of answers to recorded requests."""

    def watch(request: Request, route: Route, reply: Reply) -> Watching | None:
        trace = request.trace
        wanted = route.operation is Operation.INFERENCE and 200 <= reply.status < 300
        return Details(trace, reply, clock) if wanted and isinstance(trace, Recording) else None

    return watch


class Details:
    """Watches one answer; what it finds is the recording's."""

    __slots__ = ("_clock", "_events", "_inflate", "_json", "_kept", "_opening", "_seen", "_size", "_whole", "data")

    def __init__(self, trace: Recording, reply: Reply, clock: Callable[[], float]) -> None:
        kind = kind_of(reply.get(b"content-type") or b"")
        self._seen = trace.seen = Seen()
        self._seen.stream = kind is Kind.STREAM
        self._json = kind is Kind.BODY
        self._clock = clock
        self._inflate = inflater(reply.get(b"content-encoding") or b"")
        self._events: EventReader | None = EventReader(OPENING) if self._seen.stream else None
        self._opening = 0
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._whole = True
        self.data: Callable[[bytes], None] = self._first
        """Takes a piece of the body. Never raises."""

    def _first(self, chunk: bytes) -> None:
        self._seen.first_chunk = self._clock()
        self.data = self._feed if self._seen.stream or self._json else _ignore
        self.data(chunk)

    def _feed(self, chunk: bytes) -> None:
        try:
            if self._inflate is None:
                self._take(chunk)
            else:
                for piece in self._inflate(chunk):
                    self._take(piece)
        except Exception:  # a body that is not what its head says: no details, and no harm to the relay
            self._give_up()

    def end(self, told: Finished) -> None:
        """Read what was held."""
        self.data = _ignore  # no cycle of references is left to be collected
        try:
            if self._seen.stream:
                self._read_ending(b"".join(self._kept))
            elif self._json:
                self._read_body(b"".join(self._kept))
        except Exception:
            return  # likewise

    def _give_up(self) -> None:
        self._kept.clear()
        self.data = _ignore

    def _take(self, piece: bytes) -> None:
        if self._events is not None:
            self._read_opening(self._events, piece)
        kept = self._kept
        kept.append(piece)
        self._size += len(piece)
        most = ENDING if self._seen.stream or not self._whole else HELD
        if self._size > most:
            self._whole = False
            while self._size - len(kept[0]) > ENDING:
                self._size -= len(kept.popleft())

    def _read_opening(self, events: EventReader, piece: bytes) -> None:
        self._opening += len(piece)
        try:
            found = events.feed(piece)
        except ValueError:  # an event larger than that
            self._events = None
            return
        for event in found:
            self._note_names(_object(event.data))
        if (self._seen.model and self._seen.reply_id) or self._opening > OPENING:
            self._events = None

    def _note_names(self, told: Mapping[str, Any]) -> None:
        response = told.get("response")
        for part in (told, response if isinstance(response, dict) else {}):
            self._seen.model = self._seen.model or _name(part.get("model"))
            self._seen.reply_id = self._seen.reply_id or _name(part.get("id"))

    def _read_ending(self, ending: bytes) -> None:
        tail = Tail()
        tail.feed(ending)
        self._seen.usage = tail.usage(2)
        reasons = _REASON.findall(ending)
        ended = _ENDED.search(ending)
        if not reasons and ended is not None:
            incomplete = _INCOMPLETE.search(ending)
            reasons = [incomplete[1] if incomplete is not None else ended[1]]
        self._seen.finish_reasons = tuple([reason.decode() for reason in reasons])

    def _read_body(self, body: bytes) -> None:
        if not self._whole:
            self._read_ending(body)
            return
        told = _object(body)
        self._note_names(told)
        self._seen.usage = read_usage(told.get("usage"))
        choices = told.get("choices")
        found = [choice.get("finish_reason") for choice in choices if isinstance(choice, dict)] if choices else []
        status = told.get("status")
        if not found and isinstance(status, str):
            why = told.get("incomplete_details")
            found = [why.get("reason") if isinstance(why, dict) else status]
        self._seen.finish_reasons = tuple([reason[:_SHOWN] for reason in found if isinstance(reason, str)])


def _ignore(chunk: bytes) -> None: ...


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else, such as `[DONE]`."""
    try:
        told = orjson.loads(data)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _name(value: object) -> str:
    return value[:_SHOWN] if isinstance(value, str) else ""
