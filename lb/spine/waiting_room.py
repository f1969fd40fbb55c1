"""Where requests may wait while all their backends are throttled, for the soonest return.

Nobody passes by: who comes while others wait joins them, and a permit goes to whose turn it is (`balancing.waiting`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from lb.balancing.asker import Asker
from lb.balancing.attempt import Attempt
from lb.balancing.pool import Pool
from lb.balancing.waiting import Waiting

LOOK_SECONDS = 0.25
"""How often it looks again when nothing is known of a return."""
LEAST = 0.001


@dataclass(slots=True, eq=False)
class Guest:
    """A request that waits; `names` are the backends that it must not be sent to."""

    request_id: str
    asker: Asker
    names: set[str]
    back: bool = False
    """It has had a turn, and was throttled again."""
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    attempt: Attempt | None = None

    def call(self, attempt: Attempt | None) -> None:
        """Its turn has come, or it has to go."""
        self.attempt = attempt
        if not self.turn.done():
            self.turn.set_result(None)


class WaitingRoom:
    """Off while `seconds` is 0; at most `most` wait, for all deployments together."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock
        self.seconds = 0.0
        self.most = 1000
        self._waiting: dict[str | None, Waiting[Guest]] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum([len(waiting) for waiting in self._waiting.values()])

    def counts(self) -> dict[str, int]:
        """How many wait, by their asker's name, which is empty where there are no tenants."""
        found: dict[str, int] = {}
        for waiting in self._waiting.values():
            for name, count in waiting.counts().items():
                found[name] = found.get(name, 0) + count
        return found

    def busy(self, deployment: str | None) -> bool:
        """Do others wait already?"""
        return deployment in self._waiting

    async def permit(self, guest: Guest, deployment: str | None, until: float) -> Attempt | None:
        """A permit when its turn comes; None when `until` comes first or there is no room. Whoever is cancelled here is
        forgotten."""
        waiting = self._waiting.setdefault(deployment, Waiting())
        try:
            if self._enter(guest, waiting):
                self.look()
                async with asyncio.timeout(max(0.0, until - self._clock())):
                    await guest.turn
        except TimeoutError:
            pass
        except BaseException:
            if guest.attempt is not None:
                self._pool.release(guest.attempt)
            raise
        finally:
            waiting.leave(guest)
            self.look()
        return guest.attempt

    def _enter(self, guest: Guest, waiting: Waiting[Guest]) -> bool:
        if len(self) >= self.most:
            gone = waiting.makes_room(guest.asker)
            if gone is None:
                return False
            waiting.leave(gone)
            gone.call(None)
        waiting.join(guest, back=guest.back)
        return True

    def look(self) -> None:
        """Something has changed: whose turn is it?"""
        if not self._waiting:
            return
        now = self._clock()
        for deployment, waiting in list(self._waiting.items()):
            while self._serve_one(now, deployment, waiting):
                pass
            if not len(waiting):
                del self._waiting[deployment]
        self._set_alarm(now)

    def _serve_one(self, now: float, deployment: str | None, waiting: Waiting[Guest]) -> bool:
        """Who is pinned to a backend that is still away does not hold up the others."""
        for guest in waiting.heads():
            attempt = self._pool.begin(now, deployment, guest.names, guest.request_id, guest.asker.strangers)
            if attempt is not None:
                waiting.serve(guest)
                guest.call(attempt)
                return True
        return False

    def _set_alarm(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._waiting:
            returns = [self._pool.soonest(now, deployment) for deployment in self._waiting]
            wait = min([LOOK_SECONDS if seconds is None else seconds for seconds in returns])
            self._alarm = asyncio.get_running_loop().call_later(max(wait, LEAST), self.look)
