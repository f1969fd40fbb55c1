"""Spans out of a recording: one of kind SERVER for the request, one of kind CLIENT for each attempt.

Attributes that repeat from request to request are `Fixed` (see `alike`); what differs in each stands beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from lb.events import Finished, Outcome
from lb.metering.tap import call_of
from lb.metering.usage import Usage
from lb.telemetry.otel import alike
from lb.telemetry.otel import conventions as names
from lb.telemetry.otel.alike import Fixed, Pair
from lb.telemetry.otel.recording import Recording, Seen, Try
from lb.telemetry.text import shortened

SERVER: Final = 2
CLIENT: Final = 3


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
    name, asked = alike.asked(trace.method, trace.target)
    status, outcome, parent = told.status, told.outcome, trace.parent
    # A client's mistake is no error of the server: HTTP conventions, "Status".
    failed = (status is not None and status >= 500) or outcome is Outcome.CRASHED or outcome is Outcome.CUT
    return Span(
        trace.trace_id,
        trace.span_id,
        parent.span_id if parent is not None else b"",
        parent is not None,
        trace.state if parent is not None else "",
        name,
        SERVER,
        int((trace.started + ahead) * 1e9),
        int((now + ahead) * 1e9),
        (asked, alike.ended(outcome, status, told.attempts, told.deployment, told.tenant), alike.sent_from(trace.peer)),
        ((names.LB_REQUEST_ID, told.request_id),),
        (),
        failed,
        shortened(told.detail) if failed else "",
    )


def _client(trace: Recording, one: Try, told: Finished, now: float, ahead: float, system: bool) -> Span:
    answered = one.verdict == "relayed"
    groups = [
        alike.sent(one.backend.name, one.backend.url, trace.method, one.target),
        verdict := alike.judged(one.verdict, one.status, one.number, one.detail, told.outcome if answered else None),
    ]
    pairs: list[Pair] = [] if one.cooldown is None else [(names.LB_COOLDOWN, one.cooldown)]
    name, seen = trace.method, trace.seen
    event: tuple[Pair, ...] = ()
    if answered and seen is not None:
        name, asked = alike.asked_model(
            call_of(trace.target), names.provider(trace.target), told.deployment or "", system
        )
        groups += (asked, alike.answered(seen.model, seen.finish_reasons, seen.stream))
        _tell_answer(pairs, seen, told.usage or seen.usage, one.started)
        event = seen.event
    ended = now if answered or one.ended is None else one.ended
    return Span(
        trace.trace_id,
        one.span_id,
        trace.span_id,
        False,
        trace.state if trace.parent is not None else "",
        name,
        CLIENT,
        int((one.started + ahead) * 1e9),
        int((ended + ahead) * 1e9),
        groups,
        pairs,
        event,
        verdict.failed,
        verdict.message,
    )


def _tell_answer(pairs: list[Pair], seen: Seen, usage: Usage | None, started: float) -> None:
    """What is different in each answer."""
    if seen.reply_id:
        pairs.append((names.RESPONSE_ID, seen.reply_id))
    if seen.stream and seen.first_chunk is not None:
        pairs.append((names.FIRST_CHUNK, round(seen.first_chunk - started, 6)))
    if usage is not None and not usage.unknown:
        pairs.append((names.INPUT_TOKENS, usage.prompt))
        pairs.append((names.OUTPUT_TOKENS, usage.completion))
        if usage.cached:
            pairs.append((names.CACHED_TOKENS, usage.cached))
        if usage.reasoning:
            pairs.append((names.REASONING_TOKENS, usage.reasoning))
        if usage.estimated:
            pairs.append((names.LB_ESTIMATED, True))
    pairs.extend(seen.content)
