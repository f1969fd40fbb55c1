"""The life of one of several workers. Log lines about all of them are the supervisor's."""

import asyncio
import os
import signal
import socket
from functools import partial

import orjson

from lb.app import App
from lb.config import Config
from lb.process.rereading import Load, read_again
from lb.shared.ledger import WorkerBook
from lb.shared.room import Room, WorkerPeers
from lb.telemetry.log import Logs

SHOW_SECONDS = 1.0
"""How often a worker shows its counts unasked: what it counted since is lost when it is killed."""


class Worker:
    """One process that serves traffic, from its fork to its end."""

    def __init__(self, number: int, room: Room, config: Config, load: Load, logs: Logs, sock: socket.socket) -> None:
        self._number = number
        self._room = room
        self._load = load
        self._logs = logs
        self._sock = sock
        self._stop = asyncio.Event()
        self._app = App(config, logs, WorkerPeers(room, number), WorkerBook(room.ledger, number), room.pins, number)
        self._answered = 0
        self._timer: asyncio.TimerHandle | None = None

    async def live(self) -> int:
        """Start, serve, drain, end."""
        app, room, loop = self._app, self._room, asyncio.get_running_loop()
        await app.start(self._sock, partial(room.shares.ahead, self._number))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # held back since before the fork
        loop.add_reader(room.bells.fd(self._number), self._heard)
        loop.add_reader(room.lifeline, self._orphaned)
        self._show_again()
        room.bells.ring(room.supervisor)
        await self._stop.wait()
        await app.drain()
        room.shares.leave(self._number)
        if self._timer is not None:
            self._timer.cancel()
        self._show()
        await app.close()
        return 0

    def _heard(self) -> None:
        self._room.bells.silence(self._number)
        self._app.heard()
        if self._room.pages.question != self._answered:
            self._show()
            self._room.bells.ring(self._room.office)

    def _orphaned(self) -> None:
        """Only the end of the supervisor ends the pipe."""
        asyncio.get_running_loop().remove_reader(self._room.lifeline)
        self._logs.say("error", "The supervisor is gone: this worker drains and ends")
        self._stop.set()

    def _reload(self) -> None:
        """The supervisor has found it good and told so."""
        loaded = read_again(self._load, self._app.config, self._logs)
        if loaded is not None:
            self._app.reload(loaded.config)

    def _show_again(self) -> None:
        self._show()
        self._timer = asyncio.get_running_loop().call_later(SHOW_SECONDS, self._show_again)

    def _show(self) -> None:
        asked, self._answered = self._room.pages.question != self._answered, self._room.pages.question
        status, metrics = self._app.status(budgets=asked), self._app.readings(budgets=asked)
        content = orjson.dumps({"status": status, "metrics": metrics})
        if not self._room.pages.write(self._number, os.getpid(), content):
            self._logs.say("warning", "This worker's counts are too large to be shown", bytes=len(content))
