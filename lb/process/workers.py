"""The supervisor: forks the workers and the office, restarts what dies, passes signals on, ends when all have ended.

It has no event loop and no threads, so that it may fork at any time.
"""

import gc
import math
import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from lb.balancing.pins import size_of
from lb.build import COMPILED
from lb.config import FileSignature, Loaded
from lb.parts import clock
from lb.process.family import Child, Death, fork
from lb.process.listening import address_of
from lb.process.office import Office
from lb.process.rereading import Load, names, read_again
from lb.process.testament import Testament
from lb.process.worker import Worker
from lb.shared.room import Room
from lb.telemetry.log import Logs

LOOK_SECONDS = 1.0
"""How often it looks around without being woken; a changed configuration file counts once two looks agree on it."""
GRACE_SECONDS = 5.0
"""For a worker to end, beyond the time to drain."""
OFFICE_SECONDS = 2.0
TRIES = 3
"""Starts in a row that may fail before it gives up, while no worker serves."""
GAVE_UP = 1


class Supervisor:
    """See the head of this file."""

    def __init__(self, loaded: Loaded, load: Load, logs: Logs, sock: socket.socket, admin_sock: socket.socket) -> None:
        self._loaded = loaded
        self._load = load
        self._logs = logs
        self._sock = sock
        self._admin_sock = admin_sock
        self._room = Room(loaded.config.workers, size_of(loaded.config.affinity.entries))
        self._testament = Testament(self._room)
        self._signature = FileSignature(loaded.file) if loaded.file else None
        self._started = clock()
        self._children = [Child(number, f"Worker {number + 1}") for number in range(self._room.workers)]
        self._office = Child(self._room.office, "The operator listener")
        self._signals: list[int] = []
        self._wakeup = os.pipe()
        self._greeted = False
        self._next_look = 0.0
        self._code = 0

    def run(self) -> int:
        """Until told to stop. Returns the exit code."""
        self._listen_to_signals()
        self._logs.writer.close()  # its thread, not the stream: see `Writer.close`
        gc.freeze()  # what is there by now stays shared with the children
        while not self._stopping():
            now = clock()
            self._bury(now)
            self._start_due(now)
            self._greet(now)
            self._look_at_file(now)
            self._sleep_until(self._next_birth())
        self._end()
        return self._code

    # Signals.

    def _listen_to_signals(self) -> None:
        for end in self._wakeup:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakeup[1])
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda number, _: self._signals.append(number))

    def _stopping(self) -> bool:
        while self._signals:
            number = self._signals.pop(0)
            if number in (signal.SIGTERM, signal.SIGINT):
                return True
            if number == signal.SIGHUP:
                self._reload()
        return self._hopeless()

    def _sleep_until(self, moment: float) -> None:
        """Or until a signal comes or a worker rings."""
        bell = self._room.bells.fd(self._room.supervisor)
        select.select([self._wakeup[0], bell], [], [], min(max(0.0, moment - clock()), LOOK_SECONDS))
        self._room.bells.silence(self._room.supervisor)
        with suppress(BlockingIOError):
            os.read(self._wakeup[0], 4096)

    def _next_birth(self) -> float:
        return min([child.due for child in self._everybody() if not child.pid], default=math.inf)

    # Birth.

    def _start_due(self, now: float) -> None:
        for child in self._everybody():
            if not child.pid and now >= child.due:
                child.born(fork(self._life_of(child), self._logs), now)

    def _everybody(self) -> list[Child]:
        return [*self._children, self._office] if self._greeted else self._children

    def _life_of(self, child: Child) -> Callable[[], "Worker | Office"]:
        def begin() -> Worker | Office:
            for end in self._wakeup:
                os.close(end)
            self._room.leave_lifeline()
            if child is self._office:
                self._sock.close()
                return Office(self._room, self._loaded.config, self._load, self._logs, self._admin_sock, self._started)
            self._admin_sock.close()
            self._logs.renderer.mark(child.number + 1)
            return Worker(child.number, self._room, self._loaded.config, self._load, self._logs, self._sock)

        return begin

    def _greet(self, now: float) -> None:
        """Take note of workers that have begun to serve; say so when all have for the first time."""
        for child in self._children:
            page = None if child.ready else self._room.pages.read(child.number)
            child.ready = child.ready or (page is not None and page.pid == child.pid)
        if self._greeted or not all(child.ready for child in self._children):
            return
        self._greeted = True
        self._start_due(now)
        self._logs.say(
            "info",
            f"Listening on {address_of(self._sock)}",
            admin=address_of(self._admin_sock),
            workers=len(self._children),
            compiled=COMPILED,
            backends=names(self._loaded.config),
        )

    # Death.

    def _bury(self, now: float) -> None:
        for child in self._everybody():
            death = child.died(now)
            if death is None:
                continue
            self._tell(child, death)
            if child is not self._office:
                self._testament.open(child.number, death.pid)
                self._room.shares.leave(child.number)
                self._room.ring_workers()  # the rights that it had are free

    def _tell(self, child: Child, death: Death) -> None:
        self._logs.say(
            "error",
            f"{child.name} {death.how}; another is started",
            pid=death.pid,
            seconds=round(death.age, 3),
            delay=round(death.delay, 1),
        )

    def _hopeless(self) -> bool:
        if any(child.ready for child in self._children):
            return False
        failing = max(self._children, key=lambda child: child.failed_starts)
        if failing.failed_starts < TRIES:
            return False
        self._logs.say("error", f"{failing.name} failed to start {failing.failed_starts} times in a row: giving up")
        self._code = GAVE_UP
        return True

    # Configuration.

    def _look_at_file(self, now: float) -> None:
        if self._signature is not None and now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            if self._signature.changed():
                self._reload()

    def _reload(self) -> None:
        if self._signature is not None:
            self._signature.note()
        loaded = read_again(self._load, self._loaded.config, self._logs)
        if loaded is not None:
            self._loaded = loaded
            self._signal([*self._children, self._office], signal.SIGHUP)
            self._logs.say("info", "Configuration reloaded", backends=names(loaded.config))

    # The end.

    def _end(self) -> None:
        """Let the workers drain, then end the office, which tells of them until then."""
        seconds = self._loaded.config.limits.drain_seconds
        self._logs.say("info", "Draining", seconds=seconds, workers=len(self._children))
        self._sock.close()
        self._wait_for(self._children, seconds + GRACE_SECONDS)
        self._wait_for([self._office], OFFICE_SECONDS)
        self._logs.say("info", "Stopped")

    def _wait_for(self, children: list[Child], seconds: float) -> None:
        self._signal(children, signal.SIGTERM)
        end = clock() + seconds
        while any(child.alive() for child in children) and clock() < end:
            self._sleep_until(end)
        for child in children:
            if child.alive():
                self._logs.say("warning", f"{child.name} did not end in time and is killed", pid=child.pid)
        self._signal(children, signal.SIGKILL)

    def _signal(self, children: list[Child], number: int) -> None:
        for child in children:
            if child.pid:
                os.kill(child.pid, number)
