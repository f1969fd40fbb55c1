"""Errors that arrive inside a reply of 200: the event lists that stand in for an answer's.

The shapes are those that public captures of throttled streams show; no Microsoft document describes them.
"""

from typing import Any

import orjson

from lb.sim.answer import Event
from lb.sim.errors import HIGH_DEMAND, OVER_PTU, Spot, over_limit

_REMAP = {"headers": {"skip-error-remapping": "true"}}


def broken(kind: str, spot: Spot, events: tuple[Event, ...], typed: bool) -> tuple[Event, ...]:
    """Put the error that `kind` names into a stream; `typed` streams name their events (the Responses API).

    What stands before it: nothing, or with `-late` the events before content, or with `-content` half of the answer.
    """
    opening = tuple(event for event in events if event.opening)
    before: tuple[Event, ...] = ()
    if kind.endswith("-late"):
        before = opening
    elif kind.endswith("-content"):
        before = half(events)
    error = _error(kind, spot, typed)
    if not typed:
        return (*before, Event(orjson.dumps({"error": error})))
    number = len(before)
    failure = {"type": "error", "error": error, "sequence_number": number}
    return (*before, Event(orjson.dumps(failure), "error"), *_failed(before, error, number + 1))


def half(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """The first half of a stream, with some content in it and not its end."""
    last = max((i for i, event in enumerate(events) if event.tokens), default=len(events) - 1)
    first = next((i for i, event in enumerate(events) if event.tokens), 0)
    return events[: max(first + 1, last // 2)]


def _failed(before: tuple[Event, ...], error: dict[str, Any], number: int) -> tuple[Event, ...]:
    """A response that was announced is also declared failed."""
    if not before:
        return ()
    response = orjson.loads(before[0].data)["response"]
    told = {"code": error["code"], "message": error["message"]}
    body = {"type": "response.failed", "sequence_number": number}
    return (
        Event(orjson.dumps({**body, "response": {**response, "status": "failed", "error": told}}), "response.failed"),
    )


def _error(kind: str, spot: Spot, typed: bool) -> dict[str, Any]:
    match kind:
        case "stream-throttle-ptu":
            return {
                "type": "too_many_requests",
                "code": "rate_limit_reached",
                **_REMAP,
                "message": OVER_PTU,
                "param": None,
            }
        case "stream-throttle-bare":
            return {
                "type": "too_many_requests",
                "code": "too_many_requests",
                "message": "Too Many Requests",
                "param": None,
            }
        case "stream-capacity":
            return {"type": "server_error", "code": "429", "message": HIGH_DEMAND, "param": None}
        case "stream-error":
            message = "The server had an error while processing your request. Sorry about that!"
            return {"type": "server_error", "code": "server_error", "message": message, "param": None}
        case "stream-refusal":
            message = "The response was filtered."
            return {"type": "invalid_request_error", "code": "content_filter", "message": message, "param": "prompt"}
    error = over_limit(spot)
    return {**error, "headers": {"x-ms-fe-error": "true"}} if typed else {"code": "429", "message": error["message"]}
