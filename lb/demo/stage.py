"""What stands on the stage: three simulated endpoints and the balancer in front of them."""

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import aiohttp

from lb.demo.children import Child
from lb.demo.plan import ENDPOINTS, KEY
from lb.status import fetch

_SIMULATOR = re.compile(r"BACKEND_\d+_URL=(\S+)")
_BALANCER = "Listening on "


class Stage:
    """Use as `async with Stage() as stage`: on entering everything listens, on leaving nothing runs any more."""

    def __init__(
        self, endpoints: Sequence[Sequence[str]] | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """`endpoints` are the arguments of three simulators, instead of the usual ones; `settings` more of the
        balancer's."""
        self._endpoints = endpoints or [endpoint.arguments() for endpoint in ENDPOINTS]
        self._more = settings or {}
        self.url = ""
        """The balancer, for traffic."""
        self.admin = ""
        """Its operator listener."""
        self.simulators: dict[str, str] = {}
        """Name to URL."""
        self.children: list[Child] = []
        self.balancer: Child
        self._exit = contextlib.AsyncExitStack()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> "Stage":
        try:
            await self._build()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def _build(self) -> None:
        self._session = await self._exit.enter_async_context(aiohttp.ClientSession())
        self._exit.push_async_callback(self._stop)
        for endpoint, arguments in zip(ENDPOINTS, self._endpoints, strict=True):
            self.children.append(await Child.start(endpoint.name, arguments, simulator_url))
        for endpoint, child in zip(ENDPOINTS, self.children, strict=True):
            self.simulators[endpoint.name] = await child.url()
        self.balancer = await Child.start("the balancer", ["serve"], self._heard, self._settings())
        self.children.append(self.balancer)
        self.url = await self.balancer.url()

    def _settings(self) -> dict[str, str]:
        """The drop-in environment, as for real endpoints."""
        told = {
            "LB_HOST": "127.0.0.1",
            "LB_PORT": "0",
            "LB_ADMIN_PORT": "0",
            "LB_LOG_FORMAT": "json",
            "LB_DRAIN_SECONDS": "1",
        }
        for endpoint in ENDPOINTS:
            told[f"{endpoint.backend}_URL"] = self.simulators[endpoint.name]
            told[f"{endpoint.backend}_PRIORITY"] = str(endpoint.number)
            told[f"{endpoint.backend}_APIKEY"] = KEY
        return {**told, **self._more}

    def _heard(self, line: str) -> str | None:
        found = listening(line)
        if found is None:
            return None
        url, self.admin = found
        return url

    async def _stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self.children))

    async def death(self) -> None:
        """Raises `ChildDied` when any of them does."""
        deaths = [asyncio.create_task(child.death()) for child in self.children]
        try:
            first, _ = await asyncio.wait(deaths, return_when=asyncio.FIRST_COMPLETED)
            await first.pop()
        finally:
            for death in deaths:
                death.cancel()

    async def status(self) -> dict[str, Any]:
        """The balancer's `/status` document."""
        return await fetch(self._session, f"{self.admin}/status")

    async def metrics(self) -> str:
        """The text that Prometheus reads."""
        async with self._session.get(f"{self.admin}/metrics") as reply:
            return await reply.text()

    async def ledgers(self) -> list[list[dict[str, Any]]]:
        """The endpoints' own books."""
        found = []
        for url in self.simulators.values():
            async with self._session.get(f"{url}/_sim/ledger") as reply:
                found.append(await reply.json())
        return found

    async def refusals(self) -> dict[str, int]:
        """How many requests each endpoint refused, by its own books."""
        found: dict[str, int] = {}
        for name, url in self.simulators.items():
            async with self._session.get(f"{url}/_sim/counts") as reply:
                found[name] = (await reply.json())["throttled"]
        return found


def simulator_url(line: str) -> str | None:
    """The address in the one line that `lb sim` prints."""
    match = _SIMULATOR.search(line)
    return match[1] if match else None


def listening(line: str) -> tuple[str, str] | None:
    """Both addresses in the balancer's start line."""
    if not line.startswith("{"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    text = str(entry.get("event", ""))
    return (text.removeprefix(_BALANCER), str(entry.get("admin", ""))) if text.startswith(_BALANCER) else None
