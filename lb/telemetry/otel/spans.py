"""Spans out of a recording: one of kind SERVER for the request, one of kind CLIENT for each attempt.

Attributes that repeat from request to request are `Fixed`: made once, and encoded once by whoever sends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from lb.events import Finished, Outcome
from lb.metering.tap import OTHER, call_of
from lb.metering.usage import Usage
from lb.telemetry.otel import conventions as names
from lb.telemetry.otel.recording import Recording, Seen, Try
from lb.telemetry.text import loggable_target, loggable_url, printable, shortened

SERVER: Final = 2
CLIENT: Final = 3

Value = str | int | float | bool | tuple[str, ...]
Pair = tuple[str, Value]


class Fixed:
    """Attributes that many spans have."""

    __slots__ = ("encoded", "pairs")

    def __init__(self, *pairs: Pair) -> None:
        self.pairs = pairs
        self.encoded: bytes | None = None


class Span(NamedTuple):
    """One span. Moments are nanoseconds since 1970."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """Empty for the first span of a trace."""
    remote: bool
    """Its parent is in another process."""
    state: str
    name: str
    kind: int
    start: int
    end: int
    fixed: Sequence[Fixed]
    pairs: Sequence[Pair]
    event: tuple[Pair, ...]
    """Attributes of the event with the content, where it is wanted as one."""
    failed: bool
    message: str


def spans_of(trace: Recording, told: Finished, now: float, ahead: float, *, system: bool) -> list[Span]:
    """The server span, then the attempts in their order. `ahead` is what the wall clock has over the other one."""
    spans = [_server(trace, told, now, ahead)]
    spans += [_client(trace, one, told, now, ahead, system) for one in trace.tries]
    return spans


def _server(trace: Recording, told: Finished, now: float, ahead: float) -> Span:
    name, fixed = _asked(trace.method, trace.target.partition(b"?")[0])
    pairs: list[Pair] = [
        (names.LB_REQUEST_ID, told.request_id),
        (names.LB_OUTCOME, told.outcome.value),
        (names.LB_ATTEMPTS, told.attempts),
    ]
    status = told.status
    if status is not None:
        pairs.append((names.STATUS, status))
    if told.deployment is not None:
        pairs.append((names.LB_DEPLOYMENT, told.deployment))
    if told.tenant is not None:
        pairs.append((names.LB_TENANT, told.tenant))
    if trace.peer:
        pairs.append((names.CLIENT_ADDRESS, trace.peer))
    error = _error(status, told.outcome)
    if error:
        pairs.append((names.ERROR_TYPE, error))
    # A client's mistake is no error of the server: HTTP conventions, "Status".
    failed = told.outcome in (Outcome.CRASHED, Outcome.CUT) or (status is not None and status >= 500)
    parent = trace.parent
    return Span(
        trace.trace_id,
        trace.span_id,
        parent.span_id if parent is not None else b"",
        parent is not None,
        trace.state,
        name,
        SERVER,
        _nanoseconds(trace.started + ahead),
        _nanoseconds(now + ahead),
        (fixed,),
        pairs,
        (),
        failed,
        shortened(told.detail) if failed else "",
    )


def _error(status: int | None, outcome: Outcome) -> str:
    if outcome in (Outcome.CRASHED, Outcome.CUT, Outcome.ABANDONED):
        return str(outcome.value)
    return str(status) if status is not None and status >= 400 else ""


def _client(trace: Recording, one: Try, told: Finished, now: float, ahead: float, system: bool) -> Span:
    status = one.status
    answered = one.verdict == "relayed"
    pairs: list[Pair] = [(names.LB_VERDICT, one.verdict)]
    if status is not None:
        pairs.append((names.STATUS, status))
    if one.number > 1:
        pairs.append((names.RESEND_COUNT, one.number - 1))
    if one.cooldown is not None:
        pairs.append((names.LB_COOLDOWN, one.cooldown))
    if one.detail:
        pairs.append((names.LB_REASON, shortened(printable(one.detail))))
    error = _error(status, told.outcome if answered else Outcome.RELAYED) or ("" if answered else one.verdict)
    if error:
        pairs.append((names.ERROR_TYPE, error))
    fixed = _sent(one.backend.name, one.backend.url, trace.method, one.target)
    name, groups = trace.method, [fixed]
    event: tuple[Pair, ...] = ()
    seen = trace.seen
    if answered and seen is not None:
        name, genai = _asked_model(call_of(trace.target), names.provider(trace.target), told.deployment or "", system)
        groups.append(genai)
        _tell_answer(pairs, seen, told.usage or seen.usage, one.started)
        event = seen.event
    return Span(
        trace.trace_id,
        one.span_id,
        trace.span_id,
        False,
        trace.state,
        name,
        CLIENT,
        _nanoseconds(one.started + ahead),
        _nanoseconds((now if answered else one.ended) + ahead),
        groups,
        pairs,
        event,
        error not in ("", Outcome.ABANDONED.value),
        shortened(printable(one.detail)),
    )


def _tell_answer(pairs: list[Pair], seen: Seen, usage: Usage | None, started: float) -> None:
    """What the answer says of itself."""
    if seen.model:
        pairs.append((names.RESPONSE_MODEL, seen.model))
    if seen.reply_id:
        pairs.append((names.RESPONSE_ID, seen.reply_id))
    if seen.finish_reasons:
        pairs.append((names.FINISH_REASONS, seen.finish_reasons))
    if seen.stream:
        pairs.append((names.REQUEST_STREAM, True))
        if seen.first_chunk is not None:
            pairs.append((names.FIRST_CHUNK, round(seen.first_chunk - started, 6)))
    if usage is not None and not usage.unknown:
        _tell_usage(pairs, usage)
    pairs.extend(seen.content)


def _tell_usage(pairs: list[Pair], usage: Usage) -> None:
    pairs.append((names.INPUT_TOKENS, usage.prompt))
    pairs.append((names.OUTPUT_TOKENS, usage.completion))
    if usage.cached:
        pairs.append((names.CACHED_TOKENS, usage.cached))
    if usage.reasoning:
        pairs.append((names.REASONING_TOKENS, usage.reasoning))
    if usage.estimated:
        pairs.append((names.LB_ESTIMATED, True))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


@lru_cache(maxsize=1024)
def _asked(method: str, path: bytes) -> tuple[str, Fixed]:
    """A server span's name and what its request line tells."""
    shown = loggable_target(path)
    route = _route(path)
    pairs: list[Pair] = [(names.METHOD, method), (names.SCHEME, "http"), (names.PATH, shown)]
    if route:
        pairs.append((names.ROUTE, route))
    return f"{method} {route}" if route else method, Fixed(*pairs)


def _route(path: bytes) -> str:
    """The path with a placeholder for the deployment, where the API is known; others have ids in them."""
    if call_of(path) == OTHER:
        return ""
    segments = loggable_target(path).split("/")
    lowered = [segment.lower() for segment in segments]
    if lowered[:3] == ["", "openai", "deployments"] and len(segments) > 3:
        segments[3] = "{deployment}"
    return "/".join(segments)


@lru_cache(maxsize=1024)
def _sent(backend: str, url: str, method: str, target: bytes) -> Fixed:
    """What an attempt's request line tells, and where it went."""
    place = urlsplit(url)
    return Fixed(
        (names.METHOD, method),
        (names.SERVER_ADDRESS, place.hostname or ""),
        (names.SERVER_PORT, place.port or (80 if place.scheme == "http" else 443)),
        (names.FULL_URL, loggable_url(url) + loggable_target(target)),
        (names.LB_BACKEND, backend),
    )


@lru_cache(maxsize=1024)
def _asked_model(call: str, provider: str, model: str, system: bool) -> tuple[str, Fixed]:
    """The name of the span that answered, and what was asked of which model."""
    operation = names.operation(call)
    pairs: list[Pair] = [(names.OPERATION, operation), (names.PROVIDER, provider)]
    if system:
        pairs.append((names.SYSTEM, names.SYSTEMS[provider]))
    if model:
        pairs.append((names.REQUEST_MODEL, model))
    return f"{operation} {model}".rstrip(), Fixed(*pairs)
