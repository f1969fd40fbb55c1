"""Attributes that are alike in many requests: made once, and encoded once by whoever sends them.

Strangers choose some of the values, so what is remembered is bounded.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from lb.events import Outcome
from lb.metering.tap import OTHER, call_of
from lb.telemetry.otel import conventions as names
from lb.telemetry.text import loggable_target, loggable_url, printable, shortened

Value = str | int | float | bool | tuple[str, ...]
Pair = tuple[str, Value]
REMEMBERED_TARGET = 512
"""Bytes: what is made of a longer one is not kept."""


class Fixed:
    """Attributes that many spans have."""

    __slots__ = ("encoded", "failed", "message", "pairs")

    def __init__(self, *pairs: Pair, failed: bool = False, message: str = "") -> None:
        """`failed` and `message` are what they make of the span's status."""
        self.pairs = pairs
        self.failed = failed
        self.message = message
        self.encoded: bytes | None = None
        """What an encoder made of the pairs."""


def asked(method: str, target: bytes) -> tuple[str, Fixed]:
    """A server span's name and what its request line tells."""
    return _asked(method, target) if len(target) <= REMEMBERED_TARGET else _asked.__wrapped__(method, target)


@lru_cache(maxsize=1024)
def _asked(method: str, target: bytes) -> tuple[str, Fixed]:
    path = target.partition(b"?")[0]
    shown, route = loggable_target(path), _route(path)
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
def ended(outcome: Outcome, status: int | None, attempts: int, deployment: str | None, tenant: str | None) -> Fixed:
    """How a request ended."""
    pairs: list[Pair] = [(names.LB_OUTCOME, outcome.value), (names.LB_ATTEMPTS, attempts)]
    if status is not None:
        pairs.append((names.STATUS, status))
    if deployment is not None:
        pairs.append((names.LB_DEPLOYMENT, deployment))
    if tenant is not None:
        pairs.append((names.LB_TENANT, tenant))
    error = _error(status, outcome)
    if error:
        pairs.append((names.ERROR_TYPE, error))
    return Fixed(*pairs)


@lru_cache(maxsize=1024)
def sent_from(peer: str) -> Fixed:
    return Fixed((names.CLIENT_ADDRESS, peer)) if peer else Fixed()


@lru_cache(maxsize=1024)
def judged(verdict: str, status: int | None, number: int, detail: str, outcome: Outcome | None) -> Fixed:
    """What came of an attempt; `outcome` is that of the request, where it answered."""
    pairs: list[Pair] = [(names.LB_VERDICT, verdict)]
    if status is not None:
        pairs.append((names.STATUS, status))
    if number > 1:
        pairs.append((names.RESEND_COUNT, number - 1))
    message = shortened(printable(detail))
    if message:
        pairs.append((names.LB_REASON, message))
    error = _error(status, outcome) or ("" if outcome is not None else verdict)
    if error:
        pairs.append((names.ERROR_TYPE, error))
    return Fixed(*pairs, failed=error not in ("", Outcome.ABANDONED.value), message=message)


def _error(status: int | None, outcome: Outcome | None) -> str:
    """What `error.type` says; nothing where all is well."""
    if outcome is not None and outcome in (Outcome.CRASHED, Outcome.CUT, Outcome.ABANDONED):
        return str(outcome.value)
    return str(status) if status is not None and status >= 400 else ""


def sent(backend: str, url: str, method: str, target: bytes) -> Fixed:
    """What an attempt's request line tells, and where it went."""
    find = _sent if len(target) <= REMEMBERED_TARGET else _sent.__wrapped__
    return find(backend, url, method, target)


@lru_cache(maxsize=1024)
def _sent(backend: str, url: str, method: str, target: bytes) -> Fixed:
    place = urlsplit(url)
    return Fixed(
        (names.METHOD, method),
        (names.SERVER_ADDRESS, place.hostname or ""),
        (names.SERVER_PORT, place.port or (80 if place.scheme == "http" else 443)),
        (names.FULL_URL, loggable_url(url) + loggable_target(target)),
        (names.LB_BACKEND, backend),
    )


@lru_cache(maxsize=1024)
def asked_model(call: str, provider: str, model: str, system: bool) -> tuple[str, Fixed]:
    """The name of the span that answered, and what was asked of which model."""
    operation = names.operation(call)
    pairs: list[Pair] = [(names.OPERATION, operation), (names.PROVIDER, provider)]
    if system:
        pairs.append((names.SYSTEM, names.SYSTEMS[provider]))
    if model:
        pairs.append((names.REQUEST_MODEL, model))
    return f"{operation} {model}".rstrip(), Fixed(*pairs)


@lru_cache(maxsize=1024)
def answered(model: str, finish_reasons: tuple[str, ...], stream: bool) -> Fixed:
    """What many answers say of themselves alike."""
    pairs: list[Pair] = []
    if model:
        pairs.append((names.RESPONSE_MODEL, model))
    if finish_reasons:
        pairs.append((names.FINISH_REASONS, finish_reasons))
    if stream:
        pairs.append((names.REQUEST_STREAM, True))
    return Fixed(*pairs)
