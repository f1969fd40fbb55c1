"""What a browser looks at: three simulated endpoints, the real command before them, traffic, and Chromium.

`tests/browser/run.sh` says where Chromium is.
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from balancer import Balancer, backends

from lb.sim import Settings, Simulator, Span

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
TENANTS = """
tenants:
  - {name: chat-app, tokens_per_minute: 400000, requests_per_minute: 3000}
  - name: indexer
    callers: [nightly]
    tokens_per_day: 2000000
    per_deployment: {embedding: {tokens_per_minute: 30000}}
"""
CLIENTS = "chat-app:key-1,nightly:key-2"
SAID = {"messages": [{"role": "user", "content": "Say something short."}], "max_tokens": 20}


class World:
    """The endpoints and the balancer."""

    def __init__(self, simulators: list[Simulator], balancer: Balancer, session: aiohttp.ClientSession) -> None:
        self.simulators = simulators
        self.balancer = balancer
        self._session = session

    @property
    def admin(self) -> str:
        return self.balancer.admin

    async def ask(self, deployment: str = "chat", key: str = "key-1") -> int:
        """One request; returns its status."""
        call, body = ("embeddings", {"input": "a b c"}) if deployment == "embedding" else ("chat/completions", SAID)
        url = f"{self.balancer.url}/openai/deployments/{deployment}/{call}?api-version=2024-10-21"
        async with self._session.post(url, json=body, headers={"api-key": key}) as reply:
            await reply.read()
            return reply.status

    async def traffic(self, pause: float = 0.06, seed: int = 1) -> None:
        """Until it is cancelled."""
        rng = random.Random(seed)  # noqa: S311 - the same each time, not a secret
        while True:
            deployment, key = rng.choice([("chat", "key-1"), ("chat", "key-1"), ("embedding", "key-2")])
            await self.ask(deployment, key)
            await asyncio.sleep(rng.uniform(0, 2 * pause))


@asynccontextmanager
async def world(*limits: int, latency: str = "0", **settings: str) -> AsyncIterator[World]:
    """Endpoints with so many tokens per (six-second) minute, 0 for no limit, and the balancer."""
    async with AsyncExitStack() as stack:
        simulators = []
        for number, tpm in enumerate(limits or (0, 0, 0), 1):
            limit = {"tpm": tpm, "window_seconds": 6.0} if tpm else {}
            simulators.append(Simulator(Settings(name=f"openai{number}", latency=Span.parse(latency), **limit)))  # type: ignore[arg-type]
        for simulator in simulators:
            await simulator.start()
            stack.push_async_callback(simulator.stop)
        told = {
            "LB_CLIENT_KEYS": CLIENTS,
            "LB_CONFIG_INLINE": TENANTS,
            "BACKEND_3_PRIORITY": "2",
            "LB_DRAIN_SECONDS": "0",
        }
        balancer = await stack.enter_async_context(Balancer(**backends(*simulators, **told | settings)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield World(simulators, balancer, session)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Headless."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        await browser.close()


@asynccontextmanager
async def opened(world: World, width: int = 1280, height: int = 900, scheme: str = "light") -> AsyncIterator[Page]:
    """The page in a fresh browser. Nothing may be asked of another address, and nothing may be complained of."""
    async with chromium() as browser:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            locale="en-GB",
        )
        page = await context.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if "Security Policy" in message.text else None,
        )
        await page.goto(f"{world.admin}/")
        yield page
        assert [url for url in asked if not url.startswith((world.admin, "data:"))] == []
        assert complaints == []
