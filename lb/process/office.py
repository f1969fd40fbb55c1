"""The process behind the operator listener when there are several workers: it adds up what they show."""

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

import orjson

from lb.admin.merge import merged
from lb.admin.server import AdminServer
from lb.shared.pages import Page
from lb.shared.room import Room
from lb.telemetry.exposition import Exposition
from lb.telemetry.tallies import Snapshot

PATIENCE_SECONDS = 0.25
"""For fresh pages; of a worker that is busy or being restarted the last one counts."""


class Office:
    """See the head of this file."""

    def __init__(
        self, room: Room, sock: socket.socket, clock: Callable[[], float], started: float, exposition: Exposition
    ) -> None:
        self._room = room
        self._exposition = exposition
        self._sock = sock
        self._clock = clock
        self._started = started
        self._stop = asyncio.Event()
        self._rung = asyncio.Event()

    async def live(self) -> int:
        """Serve until told to end, or until the supervisor is gone."""
        room, loop = self._room, asyncio.get_running_loop()
        admin = AdminServer(self.overview, self.exposed)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the supervisor says when to end
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        loop.add_reader(room.bells.fd(room.office), self._heard)
        loop.add_reader(room.lifeline, self._orphaned)
        await admin.start_on(self._sock)
        await self._stop.wait()
        await admin.close()
        return 0

    async def overview(self) -> dict[str, Any]:
        """The `/status` document of all workers together."""
        pages = await self._fresh()
        departed, gone = departed_of(self._room)
        present = [(number, page, orjson.loads(page.content)["status"]) for number, page in pages.items()]
        living = [(number, page, status) for number, page, status in present if page.pid not in gone]
        document = merged([status for _, _, status in living], departed)
        document["uptime_seconds"] = round(self._clock() - self._started, 3)
        document["workers"] = [
            {
                "worker": number + 1,
                "pid": page.pid,
                "uptime_seconds": status["uptime_seconds"],
                "connections": status["connections"],
            }
            for number, page, status in living
        ]
        return document

    async def exposed(self) -> bytes:
        """The metrics of all workers together."""
        pages = await self._fresh()
        departed, gone = departed_metrics(self._room)
        living = [orjson.loads(page.content)["metrics"] for page in pages.values() if page.pid not in gone]
        return self._exposition.render([*living, *departed])

    async def _fresh(self) -> dict[int, Page]:
        room = self._room
        question = room.pages.ask()
        room.ring_workers()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    self._rung.clear()
                    pages = self._pages()
                    if len(pages) == room.workers and all(page.answers >= question for page in pages.values()):
                        return pages
                    await self._rung.wait()
        except TimeoutError:
            return self._pages()

    def _pages(self) -> dict[int, Page]:
        found = {number: self._room.pages.read(number) for number in range(self._room.workers)}
        return {number: page for number, page in found.items() if page is not None}

    def _heard(self) -> None:
        self._room.bells.silence(self._room.office)
        self._rung.set()

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._room.lifeline)
        self._stop.set()


def departed_metrics(room: Room) -> tuple[list[Snapshot], list[int]]:
    """The same of their metrics."""
    page = room.pages.read(room.workers)
    if page is None:
        return [], []
    content = orjson.loads(page.content)
    return [content["metrics"]], content["gone"]


def departed_of(room: Room) -> tuple[list[dict[str, Any]], list[int]]:
    """What the workers that died had counted, and their process ids."""
    page = room.pages.read(room.workers)
    if page is None:
        return [], []
    content = orjson.loads(page.content)
    return [content["status"]], content["gone"]
