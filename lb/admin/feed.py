"""The page's event stream: the whole `/status` document, again and again, for as long as somebody watches.

Every event is whole, so that what a page shows is right after whatever it missed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import orjson

from lb.admin.status import Overview

PERIOD_SECONDS = 0.5
MOST = 50
"""Pages at a time."""


class Feed:
    """One for all pages: the document is made once, however many watch."""

    def __init__(self, overview: Overview, period: float = PERIOD_SECONDS) -> None:
        self._overview = overview
        self._period = period
        self._watchers = 0
        self._number = 0
        self._latest = b""
        self._news = asyncio.Event()
        self._making: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Do as many watch as may?"""
        return self._watchers >= MOST

    async def follow(self, may_go_on: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Events, beginning with the next. Who is slow misses some: only the latest counts. Ends with the feed."""
        self._watchers += 1
        if self._making is None:
            self._making = asyncio.get_running_loop().create_task(self._make())
            self._making.add_done_callback(self._ended)
        try:
            seen = self._number
            while self._making is not None and may_go_on():
                if self._number == seen:
                    await self._news.wait()
                    continue
                seen = self._number
                yield self._latest
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._stop()

    def close(self) -> None:
        """End all streams."""
        self._stop()
        self._wake()

    async def _make(self) -> None:
        while True:
            content = orjson.dumps(await self._overview())
            self._number += 1
            self._latest = b"id: %d\nevent: status\ndata: %b\n\n" % (self._number, content)
            self._wake()
            await asyncio.sleep(self._period)  # noqa: TID251 - the pace of a display is the point

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _stop(self) -> None:
        if self._making is not None:
            self._making.cancel()
            self._making = None

    def _ended(self, making: asyncio.Task[None]) -> None:
        """Through a bug, unless it was told to: then the streams end, too, and the pages ask again."""
        if not making.cancelled():
            self._making = None
            self._wake()
            making.result()
