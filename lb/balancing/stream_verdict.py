"""What the first events of a stream mean.

Newer Azure models answer a throttled streaming call with 200 and tell about it in the stream.
"""

import json
from collections.abc import Callable
from typing import Any

from lb.balancing.verdict import NO_DEPLOYMENT, RELAY, Faulted, Misconfigured, Missed, Throttled, Verdict

OPENING = frozenset({"response.created", "response.queued", "response.in_progress", "message_start", "ping"})
"""Events of the Responses API, and of Anthropic's Messages, that come before anything is decided."""

THROTTLED = frozenset({"429", "rate_limit_exceeded", "rate_limit_reached", "too_many_requests", "rate_limit_error",
                       "ratelimitexceeded", "toomanyrequests", "model_overloaded", "overloaded", "overloaded_error",
                       "server_overloaded", "engine_overloaded", "capacity_exceeded", "insufficient_capacity",
                       "no_capacity", "nocapacity", "insufficient_quota"})  # fmt: skip
FAULTED = frozenset({"408", "500", "502", "503", "504", "server_error", "internal_error", "internal_server_error",
                     "internalservererror", "service_unavailable", "serviceunavailable", "bad_gateway",
                     "gateway_timeout", "timeout", "operation_timeout", "api_error"})  # fmt: skip
MISSED = frozenset({"previous_response_not_found", "invalid_encrypted_content"})
BUSY = ("currently experiencing high demand", "exceeded token rate limit", "exceeded call rate limit")
"""What Azure writes when a limit is reached or a model has no capacity left, under changing codes or none."""


def judge_event(name: str, text: bytes, throttled: Callable[[str], Throttled]) -> Verdict | None:
    """Judge one event by its `event:` name and its data; None while nothing is decided.

    `throttled` makes the verdict for a reason, since the wait stands in the header of the reply.
    """
    if not text.strip():
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return RELAY  # `[DONE]`, or nothing that we know
    if not isinstance(content, dict):
        return RELAY
    error = _error(name, content)
    if error is not None:
        return _judge_error(error, throttled)
    kind = content.get("type") or name
    if str(kind) in OPENING or _is_prompt_filter(content):
        return None
    return RELAY


def _is_prompt_filter(content: dict[str, Any]) -> bool:
    """Azure's first chat chunk tells what its content filter thought of the prompt and has no choices; the chunk with
    the usage has none either but comes last."""
    return content.get("choices") == [] and not content.get("usage")


def _error(name: str, content: dict[str, Any]) -> dict[str, Any] | None:
    """The error object in its four known places, or None."""
    kind = content.get("type")
    if kind == "response.failed" or name == "response.failed":
        response = content.get("response")
        error = response.get("error") if isinstance(response, dict) else None
        return error if isinstance(error, dict) else {}
    error = content.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error}
    return content if kind == "error" or name == "error" else None


def _judge_error(error: dict[str, Any], throttled: Callable[[str], Throttled]) -> Verdict:
    words = {str(error.get(key, "")).strip().lower() for key in ("code", "type", "status", "status_code")}
    message = str(error.get("message", ""))
    code = str(error.get("code") or error.get("type") or "error")[:60]
    if words & THROTTLED or any(text in message for text in BUSY):
        return throttled(f"in-stream {code}")
    if words & FAULTED:
        return Faulted(f"in-stream {code}", in_stream=True)
    if "deploymentnotfound" in words:
        return Misconfigured(NO_DEPLOYMENT)
    if words & MISSED:
        return Missed(f"in-stream {code}")
    return RELAY
