"""Attributes that are alike in many requests: made once, and encoded once by whoever sends them.

Strangers choose some of the values, so what is remembered is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from lb.events import Outcome
from lb.metering.tap import OTHER, call_of
from lb.telemetry.otel import conventions as names
from lb.telemetry.text import loggable_target, loggable_url, printable, shortened

Value = str | int | float | bool | tuple[str, ...]
Pair = tuple[str, Value]
REMEMBERED_TARGET: Final = 512
"""Bytes: what is made of a longer one is not to be kept, and these functions are to be asked by `__wrapped__`."""


class Fixed:
    """A name and attributes that many spans have."""

    __slots__ = ("encoded", "failed", "message", "name", "pairs")

    def __init__(self, name: str, pairs: Sequence[Pair], *, failed: bool = False, message: str = "") -> None:
        """`failed` and `message` are what they make of the span's status."""
        self.name = name
        self.pairs = pairs
        self.failed = failed
        self.message = message
        self.encoded = b""
        """What an encoder made of name and pairs."""


@lru_cache(maxsize=1024)
def served(
    method: str, target: bytes, outcome: Outcome, status: int | None, attempts: int, deployment: str | None,
    tenant: str | None,
) -> Fixed:  # fmt: skip
    """A request, and how it ended."""
    path = target.partition(b"?")[0]
    route = _route(path)
    pairs: list[Pair] = [(names.METHOD, method), (names.SCHEME, "http"), (names.PATH, loggable_target(path))]
    if route:
        pairs.append((names.ROUTE, route))
    pairs += [(names.LB_OUTCOME, outcome.value), (names.LB_ATTEMPTS, attempts)]
    if status is not None:
        pairs.append((names.STATUS, status))
    if deployment is not None:
        pairs.append((names.LB_DEPLOYMENT, deployment))
    if tenant is not None:
        pairs.append((names.LB_TENANT, tenant))
    error = _error(status, outcome)
    if error:
        pairs.append((names.ERROR_TYPE, error))
    # A client's mistake is no error of the server: HTTP conventions, "Status".
    failed = (status is not None and status >= 500) or outcome in (Outcome.CRASHED, Outcome.CUT)
    return Fixed(f"{method} {route}" if route else method, pairs, failed=failed)


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
def tried(
    backend: str, url: str, method: str, target: bytes, verdict: str, status: int | None, number: int, detail: str,
    outcome: Outcome | None,
) -> Fixed:  # fmt: skip
    """An attempt, and what came of it; `outcome` is that of the request, where it answered."""
    place = urlsplit(url)
    pairs: list[Pair] = [
        (names.METHOD, method),
        (names.SERVER_ADDRESS, place.hostname or ""),
        (names.SERVER_PORT, place.port or (80 if place.scheme == "http" else 443)),
        (names.FULL_URL, loggable_url(url) + loggable_target(target)),
        (names.LB_BACKEND, backend),
        (names.LB_VERDICT, verdict),
    ]
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
    return Fixed(method, pairs, failed=error not in ("", Outcome.ABANDONED.value), message=message)


def _error(status: int | None, outcome: Outcome | None) -> str:
    """What `error.type` says; nothing where all is well."""
    if outcome is not None and outcome in (Outcome.CRASHED, Outcome.CUT, Outcome.ABANDONED):
        return str(outcome.value)
    return str(status) if status is not None and status >= 400 else ""


@lru_cache(maxsize=1024)
def answered(
    attempt: Fixed, target: bytes, deployment: str, system: bool, model: str, finish_reasons: tuple[str, ...],
    stream: bool,
) -> Fixed:  # fmt: skip
    """The attempt that answered: what was asked of which model, and what the answer says of itself."""
    operation, provider = names.operation(call_of(target)), names.provider(target)
    pairs = [*attempt.pairs, (names.OPERATION, operation), (names.PROVIDER, provider)]
    if system:
        pairs.append((names.SYSTEM, names.SYSTEMS[provider]))
    if deployment:
        pairs.append((names.REQUEST_MODEL, deployment))
    if model:
        pairs.append((names.RESPONSE_MODEL, model))
    if finish_reasons:
        pairs.append((names.FINISH_REASONS, finish_reasons))
    if stream:
        pairs.append((names.REQUEST_STREAM, True))
    name = f"{operation} {deployment}".rstrip()
    return Fixed(name, pairs, failed=attempt.failed, message=attempt.message)
