"""The real command in a process of its own, as a user starts it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import aiohttp

from lb.sim import Simulator

START_SECONDS = 60
PATIENCE = 30
"""Seconds for what happens at once where the machine is not busy."""


class Balancer:
    """`lb serve` on a free port, with its log lines."""

    def __init__(self, **settings: str) -> None:
        self.settings = settings
        self.lines: list[dict[str, Any]] = []
        self.url = ""
        self.admin = ""
        self.process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._arrived = asyncio.Condition()

    async def __aenter__(self) -> "Balancer":
        environ = {k: v for k, v in os.environ.items() if not k.upper().startswith(("LB_", "BACKEND_"))}
        settings = {"LB_HOST": "127.0.0.1", "LB_PORT": "0", "LB_ADMIN_PORT": "0", **self.settings}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lb", "serve", env={**environ, **settings}, stdout=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read())
        try:
            started = await self.line(lambda line: line["event"].startswith("Listening on"), START_SECONDS)
        except BaseException as error:
            self.process.kill()
            await self.__aexit__(type(error), error, None)
            raise
        self.url = started["event"].removeprefix("Listening on ")
        self.admin = started["admin"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        assert self._reading is not None
        stuck = False
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), PATIENCE)
            except TimeoutError:
                stuck = True
                self.process.kill()
                await self.process.wait()
        await self._reading
        self.process._transport.close()  # type: ignore[attr-defined] # else it warns when the loop is gone
        assert error is not None or not stuck, f"it did not end when it was told to; its last lines: {self.lines[-5:]}"

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(json.loads(line))
            async with self._arrived:
                self._arrived.notify_all()

    async def line(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE) -> dict[str, Any]:
        """The first line that is wanted, waiting for it."""
        try:
            async with asyncio.timeout(seconds), self._arrived:
                while True:
                    for line in self.lines:
                        if wanted(line):
                            return line
                    await self._arrived.wait()
        except TimeoutError:
            raise AssertionError(f"no such line within {seconds} s; the last ones: {self.lines[-5:]}") from None

    def events(self, beginning: str) -> list[dict[str, Any]]:
        """Lines that begin so."""
        return [line for line in self.lines if line["event"].startswith(beginning)]

    async def metrics(self) -> str:
        """The text that Prometheus reads."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.admin}/metrics") as reply:
            return await reply.text()

    async def status(self) -> dict[str, Any]:
        """The document of the operator listener."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.admin}/status") as reply:
            found: dict[str, Any] = await reply.json()
            return found

    async def settled(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """The status once nothing is in flight."""
        async with asyncio.timeout(seconds):
            while True:
                status = await self.status()
                if not any(row["in_flight"] for row in status["backends"]):
                    return status


def hasty(**settings: str) -> Balancer:
    """One that ends at once, for tests that do not look at how it ends."""
    return Balancer(LB_DRAIN_SECONDS="0", **settings)


def backends(*simulators: Simulator, **extra: str) -> dict[str, str]:
    """Drop-in environment for these endpoints: BACKEND_1 is the first."""
    settings = {}
    for number, simulator in enumerate(simulators, 1):
        settings[f"BACKEND_{number}_URL"] = simulator.url
        settings[f"BACKEND_{number}_APIKEY"] = f"key-of-{number}"
    return {**settings, **extra}


Ask = Callable[[], Awaitable[Any]]
