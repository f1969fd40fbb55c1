"""One replica's part of a budget that several share.

Each replica may use a budget up to its cap, and has agreed on that with the others ahead of time, so that no request
waits for them: all caps together are at most the limit, and no cap is below what its replica has used. Caps are
absolute, and a replica gives up what it no longer asks for before it says so: a message that is lost or comes twice
does no harm.
"""

from dataclasses import dataclass
from typing import NamedTuple

STALE_SECONDS = 3.0
"""Without news for that long a replica lives on its even part."""
RETRY_SECONDS = 0.5
"""When to come again for what the replica lacks but the budget may still have."""
_FLOOR = 64
"""The least that is kept ahead, as a part of the limit."""
_DECAY = 0.9


class Report(NamedTuple):
    """What a replica says of one budget."""

    key: str
    """The same in all replicas."""
    limit: int
    used: int
    wanted: int
    """The cap that it would like."""
    lacks: bool
    keep: float
    """Seconds for which what it used counts."""
    replicas: int
    """How many it knows of."""


class Grant(NamedTuple):
    """What it is told."""

    cap: int
    replicas: int
    free: int
    """What nobody has used."""
    pressed: bool
    """Somebody lacks something: keep little ahead."""


@dataclass(slots=True)
class Lease:
    """How much of the limit may be used here. Until the first grant, and without news, it is the even part."""

    limit: int
    replicas: int = 1
    cap: int = 0
    free: int = 0
    granted_at: float = -1e9
    pressed: bool = False
    demand: float = 0.0
    """What requests wanted lately between two reports, admitted or not."""
    asked: int = 0
    lacked: bool = False

    def is_fresh(self, now: float) -> bool:
        return now - self.granted_at < STALE_SECONDS

    def allowed(self, now: float) -> int:
        """What may be used here in all."""
        return min(self.cap, self.limit) if self.is_fresh(now) else max(1, self.limit // self.replicas)

    def ask(self, amount: int, *, lacked: bool) -> None:
        """A request came."""
        self.asked += amount
        self.lacked = self.lacked or lacked

    def report(self, now: float, key: str, used: int, keep: float) -> Report:
        """To be sent. In quiet times everybody keeps its part of what is free, else what it needs."""
        self.demand = max(self.asked, self.demand * _DECAY)
        if self.pressed or self.lacked:
            ahead = max(int(2 * self.demand), self.limit // _FLOOR, 1)
        else:
            ahead = max((self.free if self.is_fresh(now) else self.limit) // self.replicas, 1)
        wanted = min(self.limit, used + ahead)
        self.cap = min(self.cap, wanted)
        lacks, self.asked, self.lacked = self.lacked, 0, False
        return Report(key, self.limit, used, wanted, lacks, keep, self.replicas)

    def take(self, now: float, grant: Grant) -> None:
        """The answer came."""
        self.cap, self.replicas, self.free, self.pressed = grant.cap, max(1, grant.replicas), grant.free, grant.pressed
        self.granted_at = now
