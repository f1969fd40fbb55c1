"""The observer that keeps the last requests with their attempts, for an operator who asks what just happened.

Measured on the 2-core development machine (CPython 3.11) by `bench.operators`: 0.4 to 0.8 us for a request of one
attempt, its events included, by how busy the machine was. A request is kept as a plain tuple, made readable when
somebody first reads it; events are not kept, since they may hold a prompt.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from lb.events import Finished, Judged, Observer, Outcome

MOST = 100
"""Requests that are kept, and as many again of those that went another way than straight through."""
SLOW_SECONDS = 30.0
"""An answer that began later than this is worth keeping, too."""
_TEXT = 256
"""Characters of what callers may have made up."""

Kept = list[Any]
"""When it ended, and the facts of the request: a tuple, or what is read once somebody has read it."""
Attempt = tuple[str | None, int | None, str, float, float | None, str]
"""Backend, status, verdict, seconds, asked seconds, detail."""


class Recent(Observer):
    """Keeps them. `wall` is seconds since 1970."""

    def __init__(self, wall: Callable[[], float], most: int = MOST) -> None:
        self._wall = wall
        self._plain: deque[Kept] = deque(maxlen=most)
        self._notable: deque[Kept] = deque(maxlen=most)
        self._failed: dict[str, list[Attempt]] = {}
        """Attempts of running requests that were not relayed."""
        self.tells = {Judged: self._judged, Finished: self._finished}

    def _judged(self, event: Judged) -> None:
        if event.verdict != "relayed":
            attempt = event.backend.name, event.status, event.verdict, event.seconds, event.asked, event.detail
            self._failed.setdefault(event.request_id, []).append(attempt)

    def _finished(self, event: Finished) -> None:
        first, usage = event.first_byte, event.usage
        notable = event.attempts != 1 or event.outcome is not Outcome.RELAYED or (event.status or 0) >= 400
        failed = self._failed.pop(event.request_id, ()) if notable or self._failed else ()
        facts = (
            event.request_id, event.method, event.tenant, event.deployment, event.outcome, event.status,
            event.seconds, first, event.backend, None if usage is None or usage.unknown else usage.total, event.detail,
            event.attempts, event.waited, failed,
        )  # fmt: skip
        if notable or failed or (first is not None and first > SLOW_SECONDS):
            self._notable.append([self._wall(), facts])
        else:
            self._plain.append([self._wall(), facts])

    def entries(self) -> list[dict[str, Any]]:
        """Newest first, by their names in `/status`."""
        both = sorted([*self._plain, *self._notable], key=lambda kept: kept[0], reverse=True)
        return [_entry(kept) for kept in both]


def _entry(kept: Kept) -> dict[str, Any]:
    at, facts = kept
    if isinstance(facts, tuple):
        kept[1] = _read(at, *facts)
    return cast(dict[str, Any], kept[1])


def _read(
    at: float, request_id: str, method: str, tenant: str | None, deployment: str | None, outcome: Outcome,
    status: int | None, seconds: float, first: float | None, backend: str | None, tokens: int | None, detail: str,
    attempts: int, waited: float, failed: Sequence[Attempt],
) -> dict[str, Any]:  # fmt: skip
    return {
        "at": round(at, 3),
        "request_id": request_id[:_TEXT],
        "method": method,
        "tenant": tenant,
        "deployment": None if deployment is None else deployment[:_TEXT],
        "outcome": outcome.value,
        "status": status,
        "seconds": round(seconds, 4),
        "first_byte_seconds": None if first is None else round(first, 4),
        "backend": backend,
        "tokens": tokens,
        "detail": detail[:_TEXT],
        "attempts": _attempts(attempts, first is not None, backend, status, waited, failed),
    }


def _attempts(
    count: int, answered: bool, backend: str | None, status: int | None, waited: float, failed: Sequence[Attempt]
) -> list[dict[str, Any]]:
    """Those that failed, then the one that was relayed, where there was one: a fault's own reply may have been, too."""
    story = [_attempt(*one) for one in failed]
    if answered and len(failed) < count:
        story.append(_attempt(backend, status, "relayed", waited, None, ""))
    return story


def _attempt(
    backend: str | None, status: int | None, verdict: str, seconds: float, asked: float | None, detail: str
) -> dict[str, Any]:
    return {
        "backend": backend,
        "status": status,
        "verdict": verdict,
        "seconds": round(seconds, 4),
        "asked_seconds": None if asked is None else round(asked, 3),
        "detail": detail[:_TEXT],
    }
