"""Prompts and answers in traces, for those who asked for them: as the conventions write messages, in JSON.

What is larger than `MOST` is left out, and so is what cannot be read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from lb.balancing.routing import Operation, Route
from lb.events import Finished
from lb.exchange import Reply, Request
from lb.metering.tap import Kind, call_of, inflater, kind_of
from lb.spine.watching import Watching
from lb.telemetry.otel import conventions as names
from lb.telemetry.otel.recording import Recording, Seen

MOST: Final = 64 * 1024
"""Bytes of a prompt, and of an answer. They are read on the event loop, so that this bounds how long that takes."""

Turn = Mapping[str, Any]


class Reading(NamedTuple):
    """How turns of a conversation are read: out of a request's JSON, a reply's JSON, a reply's event stream."""

    prompt: Callable[[str, object], Sequence[Turn]]
    answer: Callable[[object], Sequence[Turn]]
    stream: Callable[[bytes], tuple[Sequence[Turn], str | None]]


def watch_content(
    reading: Reading, *, on_span: bool, as_event: bool
) -> Callable[[Request, Route, Reply], Watching | None]:
    """A `Watch` of answers to recorded requests. It comes behind that of `details`."""

    def watch(request: Request, route: Route, reply: Reply) -> Watching | None:
        trace = request.trace
        wanted = route.operation is Operation.INFERENCE and 200 <= reply.status < 300
        if not wanted or not isinstance(trace, Recording) or trace.seen is None:
            return None
        return Content(trace.seen, request, reply, reading, (on_span, as_event))

    return watch


class Content:
    """One prompt and its answer."""

    def __init__(self, seen: Seen, request: Request, reply: Reply, reading: Reading, places: tuple[bool, bool]) -> None:
        self._seen = seen
        self._reading = reading
        self._on_span, self._as_event = places
        self._call = call_of(request.target)
        body = request.body
        self._asked = body if isinstance(body, bytes) and len(body) <= MOST and not request.content_encoding else b""
        self._kind = kind_of(reply.get(b"content-type") or b"")
        self._inflate = inflater(reply.get(b"content-encoding") or b"")
        self._kept = bytearray()
        self._whole = True

    def data(self, chunk: bytes) -> None:
        """A piece of the answer."""
        if not self._whole:
            return
        try:
            for piece in (chunk,) if self._inflate is None else self._inflate(chunk):
                self._kept += piece
                if len(self._kept) > MOST:  # at once: a few packed bytes may hold a thousand times as many
                    self._drop()
                    break
        except Exception:  # not packed as its head says
            self._drop()

    def end(self, told: Finished) -> None:
        """Read both, and put them where they are wanted."""
        found = [(names.INPUT_MESSAGES, self._read(self._prompt)), (names.OUTPUT_MESSAGES, self._read(self._answer))]
        pairs = tuple([(name, text) for name, text in found if text])
        if self._on_span:
            self._seen.content = pairs
        if self._as_event:
            self._seen.event = pairs

    def _drop(self) -> None:
        self._whole = False
        self._kept = bytearray()

    def _read(self, turns: Callable[[], Sequence[Turn]]) -> str:
        try:
            found = [_message(turn) for turn in turns()]
            return orjson.dumps(found).decode() if found else ""
        except Exception:  # strangers' JSON in a shape that nobody has thought of
            return ""

    def _prompt(self) -> Sequence[Turn]:
        return self._reading.prompt(self._call, orjson.loads(self._asked)) if self._asked else ()

    def _answer(self) -> Sequence[Turn]:
        if not self._kept:
            return ()
        if self._kind is Kind.STREAM:
            return self._reading.stream(bytes(self._kept))[0]
        return self._reading.answer(orjson.loads(self._kept)) if self._kind is Kind.BODY else ()


def _message(turn: Turn) -> dict[str, Any]:
    """A turn in the conventions' words: a role and parts."""
    parts: list[dict[str, Any]] = []
    if turn.get("reasoning"):
        parts.append({"type": "reasoning", "content": turn["reasoning"]})
    texts = [turn[name] for name in ("content", "refusal", "audio", "error") if turn.get(name)]
    parts += [{"type": "text", "content": text} for text in texts]
    parts += [{"type": "tool_call", **call} for call in turn.get("tool_calls") or ()]
    if turn.get("tool_call_id"):
        parts = [{"type": "tool_call_response", "id": turn["tool_call_id"], "response": turn.get("content")}]
    finish = {"finish_reason": turn["finish_reason"]} if turn.get("finish_reason") else {}
    return {"role": turn.get("role") or "assistant", "parts": parts, **finish}
