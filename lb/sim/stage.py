"""What a reply finds around it: the clocks, the way to wait, the endpoint. All of it injected."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from lb.sim.endpoint import Endpoint
from lb.sim.settings import Span

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class Stage:
    """Shared by all replies of one simulator."""

    def __init__(
        self, endpoint: Endpoint, clock: Clock, today: Clock, sleep: Sleep, refuse: Callable[[float], None]
    ) -> None:
        self.endpoint = endpoint
        self.clock = clock
        """Seconds that only go forward: limits are measured by it."""
        self.today = today
        """Seconds since 1970, for dates in replies."""
        self.sleep = sleep
        self.refuse = refuse
        """Close the listener for so many seconds."""
        self.rng = random.Random(f"pace {endpoint.settings.seed}")
        self._date = (0, "")
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def date(self) -> str:
        """The Date field, made once a second."""
        now = int(self.today())
        if now != self._date[0]:
            self._date = (now, formatdate(now, usegmt=True))
        return self._date[1]

    async def pause(self, span: Span) -> None:
        """Wait for a while within `span`."""
        if span.high > 0:
            await self.sleep(span.low if span.low == span.high else self.rng.uniform(span.low, span.high))

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait until `so()` is true; it is asked whenever a request begins or ends."""
        if not so():
            watcher: tuple[Callable[[], bool], asyncio.Future[None]] = (so, asyncio.get_running_loop().create_future())
            self._watchers.append(watcher)
            try:
                await watcher[1]
            finally:
                self._watchers.remove(watcher)

    def changed(self) -> None:
        """A request began or ended."""
        for so, future in self._watchers:
            if not future.done() and so():
                future.set_result(None)
