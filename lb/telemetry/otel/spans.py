"""Spans out of a recording: one of kind SERVER for the request, one of kind CLIENT for each attempt.

What repeats from request to request is `Fixed` (see `alike`); what differs in each stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lb.events import Finished
from lb.metering.usage import Usage
from lb.telemetry.otel import alike
from lb.telemetry.otel import conventions as names
from lb.telemetry.otel.alike import Fixed, Pair
from lb.telemetry.otel.recording import Recording, Seen, Try
from lb.telemetry.text import shortened

SERVER: Final = 2
CLIENT: Final = 3


class Span:
    """One span. Moments are nanoseconds since 1970."""

    __slots__ = ("end", "event", "failed", "fixed", "kind", "message", "pairs", "parent_id", "remote", "span_id",
                 "start", "state", "trace_id")  # fmt: skip

    def __init__(
        self,
        trace_id: bytes,
        span_id: bytes,
        parent_id: bytes,
        remote: bool,
        state: str,
        kind: int,
        start: int,
        end: int,
        fixed: Fixed,
        pairs: Sequence[Pair],
        event: Sequence[Pair],
        failed: bool,
        message: str,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        """Empty for the first span of a trace."""
        self.remote = remote
        """Its parent is in another process."""
        self.state = state
        self.kind = kind
        self.start = start
        self.end = end
        self.fixed = fixed
        """Its name, and attributes."""
        self.pairs = pairs
        """More of them."""
        self.event = event
        """Attributes of the event with the content, where it is wanted as one."""
        self.failed = failed
        self.message = message


def spans_of(trace: Recording, told: Finished, now: float, ahead: float, *, system: bool) -> list[Span]:
    """The server span, then the attempts in their order. `ahead` is what the wall clock has over the other one."""
    known = len(trace.target) <= alike.REMEMBERED_TARGET
    spans = [_client(trace, one, told, now, ahead, known, system) for one in trace.tries]
    return [_server(trace, told, now, ahead, known), *spans]


def _server(trace: Recording, told: Finished, now: float, ahead: float, known: bool) -> Span:
    parent = trace.parent
    find = alike.served if known else alike.served.__wrapped__
    fixed = find(trace.method, trace.target, told.outcome, told.status, told.attempts, told.deployment, told.tenant)
    pairs: list[Pair] = [(names.LB_REQUEST_ID, told.request_id)]
    if trace.peer:
        pairs.append((names.CLIENT_ADDRESS, trace.peer))
    return Span(
        trace.trace_id,
        trace.span_id,
        b"" if parent is None else parent.span_id,
        parent is not None,
        trace.state,
        SERVER,
        int((trace.started + ahead) * 1e9),
        int((now + ahead) * 1e9),
        fixed,
        pairs,
        (),
        fixed.failed,
        shortened(told.detail) if fixed.failed else "",
    )


def _client(trace: Recording, one: Try, told: Finished, now: float, ahead: float, known: bool, system: bool) -> Span:
    answered = one.verdict == "relayed"
    backend, outcome = one.backend, one.outcome
    find = alike.tried if known else alike.tried.__wrapped__
    fixed = find(
        backend.name, backend.url, trace.method, one.target, one.verdict, one.status, one.number, one.detail, outcome
    )
    pairs: list[Pair] = [] if one.cooldown is None else [(names.LB_COOLDOWN, one.cooldown)]
    seen, event = trace.seen, _NOTHING
    if answered and seen is not None:
        say = alike.answered if known else alike.answered.__wrapped__
        model = told.deployment or ""
        fixed = say(fixed, trace.target, model, system, seen.model, seen.finish_reasons, seen.stream)
        _tell_answer(pairs, seen, told.usage or seen.usage, one.started)
        event = seen.event
    ended = now if one.ended is None else one.ended
    return Span(
        trace.trace_id,
        one.span_id,
        trace.span_id,
        False,
        trace.state,
        CLIENT,
        int((one.started + ahead) * 1e9),
        int((ended + ahead) * 1e9),
        fixed,
        pairs,
        event,
        fixed.failed,
        fixed.message,
    )


_NOTHING: Final[tuple[Pair, ...]] = ()


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
