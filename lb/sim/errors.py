"""Azure's ways to say no: bodies and fields, for reply heads and for event streams alike."""

import math
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

Fields = list[tuple[str, str]]

WAYS = {
    "400": (400, "invalid_request_error", "The request is not valid."),
    "401": (
        401,
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
        "active subscription and use a correct regional API endpoint for your resource.",
    ),
    "403": (403, "AccessDenied", "Access denied due to Virtual Network/Firewall rules."),
    "404": (
        404,
        "DeploymentNotFound",
        "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
        "please wait a moment and try again.",
    ),
    "408": (408, "Timeout", "The operation was timeout."),
    "500": (500, "InternalServerError", "The server had an error while processing your request."),
    "502": (502, "BadGateway", "Bad gateway."),
    "503": (503, "ServiceUnavailable", "The service is temporarily unable to process your request."),
    "504": (504, "GatewayTimeout", "The request timed out."),
}
HIGH_DEMAND = (
    "The system is currently experiencing high demand and cannot process your request. Your request exceeds the "
    "maximum usage size allowed during peak load. For improved capacity reliability, consider switching to Provisioned "
    "Throughput."
)
OVER_PTU = "Requests have exceeded the throughput limit on your Provisioned-Managed deployment."
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error reply before it is put into bytes."""

    status: int
    body: dict[str, Any]
    fields: Fields = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Spot:
    """Who refuses what: the names that messages carry."""

    operation: str
    deployment: str
    model: str
    region: str
    api_version: str


def error(kind: str) -> Refusal:
    """The plain errors, by the names of the catalogue."""
    if kind == "content-filter":
        return filtered()
    status, code, message = WAYS[kind]
    return Refusal(status, {"error": {"code": code, "message": message}})


def invalid(message: str, code: str | None = None, param: str | None = None, status: int = 400) -> Refusal:
    """A request that the API itself turns down, in its newer shape."""
    body = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Refusal(status, {"error": body})


def not_found() -> Refusal:
    """No such resource: Azure's gateway answers so for paths it does not know."""
    return Refusal(404, {"error": {"code": "404", "message": "Resource not found"}})


def filtered() -> Refusal:
    """The prompt was filtered: the same everywhere, so nobody should try again."""
    verdict = {"filtered": True, "severity": "high"}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"violence": verdict}}
    text = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    body = {"message": text, "type": None, "param": "prompt", "code": "content_filter", "status": 400}
    return Refusal(400, {"error": {**body, "innererror": inner}})


def throttled(spot: Spot, wait: float, limit: str = "token") -> Refusal:
    """The classic refusal: `wait` in seconds, `limit` is `token` or `call`. Azure adds the fields, see `waits`."""
    text = (
        f"Requests to the {spot.operation} Operation under Azure OpenAI API version {spot.api_version or 'v1'} have "
        f"exceeded {limit} rate limit of your current OpenAI S0 pricing tier. "
        f"Please retry after {max(1, math.ceil(wait))} seconds."
    )
    return Refusal(429, {"error": {"code": "429", "message": text}}, waits(wait))


def throttled_as(kind: str, spot: Spot, wait: float, now: float) -> Refusal:
    """Every other way to refuse, by the catalogue's names; `now` in seconds since 1970, for the HTTP-date."""
    fields = _odd_waits(kind, wait, now)
    if kind == "429-new":
        return Refusal(429, {"error": over_limit(spot)}, fields)
    if kind == "429-ptu":
        return Refusal(429, {"error": {"code": "rate_limit_reached", "message": OVER_PTU}}, fields)
    if kind == "429-capacity":
        return Refusal(429, {"error": {"code": "429", "message": HIGH_DEMAND}}, fields)
    return Refusal(429, throttled(spot, DAY if kind == "429-day" else wait).body, fields)


def over_limit(spot: Spot) -> dict[str, Any]:
    """The error object in the newer words."""
    text = f"Your requests to {spot.deployment} for {spot.model} in {spot.region} have exceeded token rate limit."
    return {"type": "too_many_requests", "code": "rate_limit_exceeded", "message": text, "param": None}


def waits(wait: float) -> Fields:
    """The two fields by which Azure says when to come back; the one in seconds is whole and at least 1."""
    return [("Retry-After", str(max(1, math.ceil(wait)))), ("retry-after-ms", str(max(1, math.ceil(wait * 1000))))]


def _odd_waits(kind: str, wait: float, now: float) -> Fields:
    known: dict[str, Fields] = {
        "429-seconds": [("Retry-After", str(math.ceil(wait)))],
        "429-ms": [("retry-after-ms", f"{wait * 1000:.0f}")],
        "429-x-ms": [("x-ms-retry-after-ms", f"{wait * 1000:.0f}")],
        "429-float": [("Retry-After", f"{wait:.3f}")],
        "429-date": [("Retry-After", formatdate(math.floor(now) + math.ceil(wait), usegmt=True))],
        "429-reset": [(f"x-ratelimit-reset-{what}", f"{wait:g}") for what in ("requests", "tokens")],
        "429-reset-text": [(f"x-ratelimit-reset-{what}", spelled(wait)) for what in ("requests", "tokens")],
        "429-bare": [],
        "429-minus": [
            (f"x-ratelimit-{which}-{what}", "0" if which == "reset" else "-1")
            for what in ("requests", "tokens")
            for which in ("limit", "remaining", "reset")
        ],
        "429-zero": [("Retry-After", "0")],
        "429-day": waits(DAY),
    }
    return known.get(kind) or ([] if kind in known else waits(wait))


def spelled(seconds: float) -> str:
    """A duration the way some gateways write it: 250ms, 6s, 1m30s."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
