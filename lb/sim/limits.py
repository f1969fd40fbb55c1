"""When does a deployment refuse? Pure: the moment is a parameter, in seconds of any clock that only goes forward.

The rules are those of Azure's quota documents: tokens are counted by an estimate made when a request arrives, the count
starts again each minute, requests are counted over slices of 1 s and 10 s as well, and refused requests count, too.
"""

import math
from dataclasses import dataclass
from typing import Literal

from lb.sim.settings import Limit

SLICES = (1 / 60, 1 / 6, 1.0)
"""Parts of a minute over which requests are counted: 1 s, 10 s and all of it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a deployment stands after a request asked to be let in: what the `x-ratelimit-*` fields say."""

    limit: Limit
    refused: Literal["token", "call"] | None
    """The kind of limit that refused the request, in the word that Azure's message uses."""
    wait: float
    """Seconds until it makes sense to come back; 0 when let in."""
    remaining_tokens: int
    remaining_requests: int
    reset_tokens: float
    reset_requests: float


class Window:
    """Counts within spans of time that follow each other without a gap, the first beginning at the first request."""

    __slots__ = ("_opened", "limit", "seconds", "used")

    def __init__(self, seconds: float, limit: int) -> None:
        self.seconds = seconds
        self.limit = limit
        self.used = 0
        self._opened: float | None = None

    def roll(self, now: float) -> None:
        """Forget what was counted if its span is over."""
        if self._opened is None:
            self._opened = now
        elif now >= self._opened + self.seconds:
            self._opened += math.floor((now - self._opened) / self.seconds) * self.seconds
            self.used = 0

    def ends_in(self, now: float) -> float:
        """Seconds until the count starts again."""
        return self.seconds if self._opened is None else max(0.0, self._opened + self.seconds - now)

    @property
    def left(self) -> int:
        """What may still be counted."""
        return max(0, self.limit - self.used)


class Limiter:
    """The token and request limits of one deployment."""

    def __init__(self, limit: Limit, minute: float = 60.0, refused_count: bool = True) -> None:
        self.limit = limit
        self._refused_count = refused_count
        self._tokens = Window(minute, limit.tpm or 0)
        rpm = limit.rpm
        self._slices = [] if rpm is None else [Window(minute * s, max(1, math.ceil(rpm * s))) for s in SLICES]

    def admit(self, tokens: int, now: float) -> Standing:
        """Let a request that is estimated to cost `tokens` in, or refuse it; either way say how things stand."""
        for window in (self._tokens, *self._slices):
            window.roll(now)
        full = any(not window.left for window in self._slices)
        short = self.limit.tpm is not None and self._tokens.used + tokens > self.limit.tpm
        if not (full or short) or self._refused_count:
            for window in self._slices:
                window.used += 1
        if full or short:
            busy = [window for window in self._slices if not window.left] + [self._tokens] * short
            return self._standing(now, "call" if full else "token", max(window.ends_in(now) for window in busy))
        self._tokens.used += tokens
        return self._standing(now, None, 0.0)

    def _standing(self, now: float, refused: Literal["token", "call"] | None, wait: float) -> Standing:
        minute = self._slices[-1] if self._slices else None
        return Standing(
            limit=self.limit,
            refused=refused,
            wait=wait,
            remaining_tokens=self._tokens.left,
            remaining_requests=minute.left if minute else 0,
            reset_tokens=self._tokens.ends_in(now),
            reset_requests=minute.ends_in(now) if minute else 0.0,
        )
