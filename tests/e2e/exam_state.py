"""`make exam-state`: every script of `state_scripts` many times through three backends, and again through a restart.

The first half runs the scripts with the balancer as it is. In the second the balancer is stopped while every script is
at one of its pauses, each at another, and a new one that knows nothing takes its place. A script counts as passed
when it came to its end; a sum of tries says how often the balancer had to ask a second backend.
"""

import argparse
import asyncio
import re
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import aiohttp
from balancer import Balancer, backends, hasty
from click import echo
from openai import AsyncOpenAI
from state_scripts import SCRIPTS, Held, Script, client_of, count_pauses, nothing

from lb.sim import Settings, Simulator

FORMS = ("azure", "v1")
IDS = re.compile(r"gAAA\S*|[0-9a-f]{28}")
HEALED = re.compile(r"^lb_healed_total(?:\{.*\})? (\S+)$", re.MULTILINE)
AT_ONCE = 50
"""Scripts that run side by side."""


async def plainly(script: Script, clients: list[AsyncOpenAI], times: int) -> list[BaseException]:
    """Run it so often; what went wrong."""
    free = asyncio.Semaphore(AT_ONCE)

    async def once(number: int) -> None:
        async with free:
            await script(clients[number % len(clients)], nothing)

    results = await asyncio.gather(*(once(number) for number in range(times)), return_exceptions=True)
    return [result for result in results if result is not None]


class Restarts:
    """A balancer that can be replaced by one that knows nothing, at the same address."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings
        self._now: Balancer | None = None

    async def start(self) -> str:
        self._now = await hasty(**self._settings).__aenter__()
        self._settings["LB_PORT"] = self._now.url.rpartition(":")[2]
        return self._now.url

    async def stop(self) -> None:
        assert self._now
        await self._now.__aexit__(None, None, None)

    async def healed(self) -> int:
        """How many requests were answered by another backend than the first that was asked, by its own count."""
        assert self._now
        async with aiohttp.ClientSession() as session, session.get(f"{self._now.admin}/metrics") as reply:
            return int(sum(map(float, HEALED.findall(await reply.text()))))


async def restarted(
    script: Script, clients: list[AsyncOpenAI], times: int, pauses: int, balancer: Restarts
) -> tuple[list[BaseException], int]:
    """As `plainly`, with the balancer replaced while all of a round are at a pause; and how many requests healed."""
    wrong: list[BaseException] = []
    healed = 0
    for begin in range(0, times, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, times))
        held = [Held(script, clients[number % len(clients)], number % pauses) for number in numbers]
        there = await asyncio.gather(*(one.there() for one in held), return_exceptions=True)
        await balancer.stop()
        await balancer.start()
        for one in held:
            one.go.set()
        over = await asyncio.gather(*(one.over for one in held), return_exceptions=True)
        wrong += [first or second for first, second in zip(there, over, strict=True) if first or second]  # type: ignore[misc]
        healed += await balancer.healed()
    return wrong, healed


def told(name: str, what: str, times: int, wrong: list[BaseException], seconds: float, healed: int) -> None:
    echo(f"{name:14}{what:10}{times - len(wrong):>4} of {times}{healed:>9}{seconds:>8.1f} s")
    for text, count in Counter(IDS.sub("...", f"{type(one).__name__}: {one}")[:300] for one in wrong).most_common(3):
        echo(f"    {count} x {text}")


async def examine(times: int, names: list[str], settings: dict[str, str]) -> int:
    simulators = [Simulator(Settings(name=f"openai{number}")) for number in (1, 2, 3)]
    for simulator in simulators:
        await simulator.start()
    balancer = Restarts({**backends(*simulators), "LB_POLICY": "round-robin", **settings})
    url = await balancer.start()
    clients = [client_of(url, form) for form in FORMS]
    async with client_of(simulators[0].url, "v1") as direct:
        pauses = {name: await count_pauses(SCRIPTS[name], direct) for name in names}
    echo(f"{'script':14}{'balancer':10}{'passed':>11}{'healed':>9}{'took':>10}")
    failures = 0
    for name in names:
        begun, before = time.monotonic(), await balancer.healed()
        wrong = await plainly(SCRIPTS[name], clients, times)
        told(name, "stays", times, wrong, time.monotonic() - begun, await balancer.healed() - before)
        failures += len(wrong)
        begun = time.monotonic()
        wrong, healed = await restarted(SCRIPTS[name], clients, times, pauses[name], balancer)
        told(name, "restarts", times, wrong, time.monotonic() - begun, healed)
        failures += len(wrong)
    echo(f"requests of each backend: {', '.join(str(simulator.counts.requests) for simulator in simulators)}")
    for client in clients:
        await client.close()
    await balancer.stop()
    for simulator in simulators:
        await simulator.stop()
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200, help="how often each script runs (200)")
    parser.add_argument("scripts", nargs="*", default=list(SCRIPTS), help=f"some of: {', '.join(SCRIPTS)}")
    parser.add_argument("--set", action="append", default=[], help="a setting of the balancer: LB_AFFINITY=false")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    return asyncio.run(examine(asked.times, asked.scripts, dict(one.split("=", 1) for one in asked.set)))


if __name__ == "__main__":
    sys.exit(main())
