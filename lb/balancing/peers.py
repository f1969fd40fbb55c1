"""The port through which several workers keep one health table.

What a worker believes is joined with what the others believe. A join takes the later of two statements, so it may be
made in any order, twice, or late, and everybody arrives at the same table. All moments are of one clock.
"""

from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple, Protocol

from lb.balancing.backend import Backend


class Ejection(NamedTuple):
    """The state of a breaker. `changed` comes first: of two, the one that changed later holds."""

    changed: float = 0.0
    until: float = 0.0
    seconds: float = 0.0
    """0 where there is none, or it is over."""
    since: float = 0.0
    silent: bool = False
    misconfigured: bool = False

    def recalled(self, moment: float) -> "Ejection":
        """As it is after an operator's word at that moment, where it was told before: over since it began, so that it
        is the same for whoever hears of one such word or of several."""
        return self._replace(until=min(self.until, self.since)) if self.changed <= moment else self


class Belief(NamedTuple):
    """What others have to know of one (backend, deployment), or of a backend as a whole."""

    cooling_until: float = 0.0
    over_until: float = 0.0
    """Cooldowns that end by then are proven over: a request succeeded after them."""
    ejection: Ejection = Ejection()
    served: float = 0.0
    """When it last served a request; told now and then only."""
    told: float = 0.0
    reason: str = ""
    recalled: float = 0.0
    """When an operator ended the absence: cooldowns and ejections that were told before are over by then."""
    switched: float = 0.0
    """When an operator last took the backend out or put it back."""
    out: bool = False

    def join(self, other: "Belief") -> "Belief":
        """What both know together."""
        recalled = max(self.recalled, other.recalled)
        return Belief(
            max([one.cooling_until for one in (self, other) if one.recalled == recalled]),
            max(self.over_until, other.over_until),
            max(self.ejection, other.ejection).recalled(recalled),
            max(self.served, other.served),
            *max((self.told, self.reason), (other.told, other.reason)),
            recalled,
            *max((self.switched, self.out), (other.switched, other.out)),
        )


NOTHING = Belief()


class Right(IntEnum):
    """What only so many requests may do at once, over all workers; the value is how many."""

    PROBE = 1
    TRIAL = 2


class Peers(Protocol):
    """The other workers."""

    def news(self) -> Sequence[tuple[bytes, Belief]]:
        """What was said by key since the last call, one's own words not excepted. Asked before every pick."""

    def say(self, key: bytes, belief: Belief) -> None:
        """Tell the others."""

    def claim(self, key: bytes, right: Right) -> bool:
        """Take the right; False when as many as may have it do. A worker that dies gives back what it had."""

    def release(self, key: bytes, right: Right) -> None:
        """Give the right back, and let those know who wait for it."""


def key_of(backend: Backend, deployment: str | None, *, whole: bool = False) -> bytes:
    """16 bytes that mean the same for every worker; another address is another backend."""
    scope = "whole" if whole else "any" if deployment is None else f"one {deployment}"
    return blake2b("\n".join((backend.name, backend.url, scope)).encode(), digest_size=16).digest()
