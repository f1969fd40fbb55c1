"""Child processes: how one begins, and how its end is noticed."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import uvloop

from lb.telemetry.log import Logs

PASSED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
SETTLED_SECONDS = 10.0
"""A child that lived that long is replaced at once."""
FIRST_DELAY = 0.1
MAX_DELAY = 30.0
BUG = 70
"""Exit code of a child that ended on an error which nobody caught (EX_SOFTWARE of sysexits.h)."""


class Life(Protocol):
    """What a child does with its life."""

    def live(self) -> Coroutine[Any, Any, int]:
        """Returns the exit code. Lets the signals in that are held back when it begins."""


def fork(begin: Callable[[], Life], logs: Logs) -> int:
    """Start a child; returns its process id.

    The signals that concern it are held back until it can take them, so that none is lost or kills it half made.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED)
    try:
        pid = os.fork()
        if pid == 0:
            _live(begin, logs)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _live(begin: Callable[[], Life], logs: Logs) -> NoReturn:
    """Never goes back into the parent's code."""
    code = BUG
    try:
        signal.set_wakeup_fd(-1)
        for number in PASSED:
            signal.signal(number, signal.SIG_DFL)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_begin(begin))
    except BaseException as bug:
        logs.say("critical", "Stopped by an error that nobody caught", bug)
    finally:
        logs.close()
        sys.stderr.flush()
        os._exit(code)


async def _begin(begin: Callable[[], Life]) -> int:
    return await begin().live()


@dataclass(frozen=True, slots=True)
class Death:
    """A child ended: `how`, in words, and in how many seconds the next one may be started."""

    pid: int
    how: str
    age: float
    delay: float


class Child:
    """One place in the family, and the process that fills it now."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.pid = 0
        self.ready = False
        self.due = 0.0
        """When it may be started."""
        self.failed_starts = 0
        """In a row."""
        self._quick = 0
        """Deaths in a row that came soon."""
        self._born = 0.0

    def born(self, pid: int, now: float) -> None:
        """It has been started."""
        self.pid, self._born, self.ready = pid, now, False

    def alive(self) -> bool:
        """Does it run?"""
        return bool(self.pid) and self._status() is None

    def died(self, now: float) -> Death | None:
        """Its death, told once."""
        pid, status = self.pid, self._status() if self.pid else None
        if status is None:
            return None
        age = now - self._born
        self._quick = 0 if age >= SETTLED_SECONDS else self._quick + 1
        self.failed_starts = 0 if self.ready else self.failed_starts + 1
        delay = min(FIRST_DELAY * 2 ** (self._quick - 1), MAX_DELAY) if self._quick else 0.0
        self.ready, self.due = False, now + delay
        return Death(pid, _how(status), age, delay)

    def _status(self) -> int | None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
