"""The process behind the operator listener when there are several workers: it adds up what they show."""

import asyncio
import signal
import socket
from contextlib import suppress
from typing import Any

import orjson

from lb.admin.merge import merged
from lb.admin.server import AdminServer
from lb.balancing.backend import Backend
from lb.config import Config, ConfigProblems
from lb.events import Recalled, Switched
from lb.parts import clock, door, exposition
from lb.process.rereading import Load
from lb.shared.orders import Orders
from lb.shared.pages import Page
from lb.shared.room import Room
from lb.telemetry.lines import LogLines
from lb.telemetry.log import Logs
from lb.telemetry.tallies import Snapshot

PATIENCE_SECONDS = 0.25
"""For fresh pages; of a worker that is busy or being restarted the last one counts."""


class Office:
    """See the head of this file."""

    def __init__(self, room: Room, config: Config, load: Load, logs: Logs, sock: socket.socket, started: float) -> None:
        self._room = room
        self._orders = Orders(room)
        self._load = load
        self._logs = logs
        self._tell = LogLines(logs)
        self._door = door(config)
        self._exposition = exposition(config)
        self._sock = sock
        self._started = started
        self._stop = asyncio.Event()
        self._rung = asyncio.Event()

    async def live(self) -> int:
        """Serve until told to end, or until the supervisor is gone."""
        room, loop = self._room, asyncio.get_running_loop()
        admin = AdminServer(self.overview, self.exposed, self, self._door, self._logs.say)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the supervisor says when to end
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
        document["uptime_seconds"] = round(clock() - self._started, 3)
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

    async def switch(self, backend: str, by: str, *, out: bool) -> bool:
        """As an operator says: see `admin.controls`."""
        rows = [row for row in (await self.overview())["backends"] if row["name"] == backend and row["out"] != out]
        if not rows:
            return False
        switched = Backend(backend, rows[0]["url"])
        self._orders.switch(clock(), switched, out=out)
        self._tell(Switched(switched, out, by))
        return True

    async def recall(self, backend: str, deployment: str | None, by: str) -> bool:
        """As an operator says: see `admin.controls`."""
        place = backend, deployment
        rows = [row for row in (await self.overview())["backends"] if (row["name"], row["deployment"]) == place]
        if not rows or not rows[0]["seconds_left"]:
            return False
        recalled = Backend(backend, rows[0]["url"])
        self._orders.recall(clock(), recalled, deployment)
        self._tell(Recalled(recalled, deployment, by))
        return True

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

    def _reload(self) -> None:
        """The supervisor has found it good and told so; only the keys matter here."""
        with suppress(ConfigProblems):
            self._door.replace(self._load().config.operator_keys())

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
