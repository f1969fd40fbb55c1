"""How a request gets the permit for its next backend, and what it waits for when there is none right now."""

import asyncio
from collections.abc import Callable, Sequence

from lb.balancing.asker import Asker
from lb.balancing.attempt import Attempt
from lb.balancing.pool import Pool
from lb.balancing.verdict import Throttled
from lb.spine.conclusion import Tried
from lb.spine.waiting_room import Guest, WaitingRoom

TRIAL_WAIT = 5.0
"""Seconds that a request waits for the two that try a returning deployment, before it is answered 429."""


class Wish:
    """What one request wants, and how long it has waited for it.

    `tried` is what came of the attempts so far, and `names` are backends that it must not be sent to.
    """

    __slots__ = ("asker", "deployment", "key", "names", "queued", "request_id", "tried", "until")

    def __init__(
        self,
        request_id: str,
        asker: Asker,
        deployment: str | None,
        tried: Sequence[Tried],
        names: set[str],
        key: bytes = b"",
    ) -> None:
        self.request_id = request_id
        self.asker = asker
        self.deployment = deployment
        self.tried = tried
        self.names = names
        self.key = key
        """Requests with the same key are better sent to the same backend."""
        self.until = 0.0
        self.queued = False
        """It has been in the waiting room."""


class Permits:
    """One for all requests."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock
        self.waiting: set[asyncio.Future[None]] = set()
        self.room = WaitingRoom(pool, clock)

    def wake(self) -> None:
        """A trial told something: whoever waits for it looks again."""
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.room.look()

    def at_once(self, wish: Wish) -> Attempt | None:
        """The next backend, where nothing has to be waited for; else ask for the `next`."""
        return None if self.room.seconds else self._begin(self._clock(), wish)

    async def next(self, wish: Wish) -> Attempt | None:
        """The next backend. While a returning deployment is being tried, the others wait for what comes of it."""
        if self.room.seconds:
            return await self._turn(wish)
        until = 0.0
        while True:
            now = self._clock()
            attempt = self._begin(now, wish)
            if attempt is not None:
                return attempt
            until = until or now + TRIAL_WAIT
            if not self._pool.awaits_trial(now, wish.deployment, wish.names) or not await self._next_trial(until):
                return None

    async def _turn(self, wish: Wish) -> Attempt | None:
        """As `next`, where requests may wait. Backends that were throttled before may then be asked again."""
        now, room, asker = self._clock(), self.room, wish.asker
        busy = room.busy(wish.deployment)
        attempt = None if busy else self._begin(now, wish)
        if attempt is not None:
            return attempt
        again = {tried.backend for tried in wish.tried if not isinstance(tried.verdict, Throttled)} | asker.excluded
        wish.until = wish.until or now + room.seconds
        trial = self._pool.awaits_trial(now, wish.deployment, again)
        wait = self._pool.soonest(now, wish.deployment, asker.excluded)
        until = max(wish.until, now + TRIAL_WAIT) if trial else wish.until
        if not (busy or trial or (wait is not None and now + wait <= until)):
            return None
        wish.names.intersection_update(again)
        guest = Guest(wish.request_id, asker, wish.names, back=wish.queued)
        wish.queued = True
        return await room.permit(guest, wish.deployment, until)

    def _begin(self, now: float, wish: Wish) -> Attempt | None:
        return self._pool.begin(now, wish.deployment, wish.names, wish.request_id, wish.asker.strangers, wish.key)

    async def _next_trial(self, until: float) -> bool:
        """Wait until a trial tells; False when `until` comes first."""
        waiter = asyncio.get_running_loop().create_future()
        self.waiting.add(waiter)
        try:
            async with asyncio.timeout(max(0.0, until - self._clock())):
                await waiter
        except TimeoutError:
            return False
        finally:
            self.waiting.discard(waiter)
        return True
