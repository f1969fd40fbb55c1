"""What the balancer adds to a request, measured by the same request with and without it."""

import asyncio
import json
import random
from dataclasses import dataclass
from time import perf_counter

import aiohttp

from lb.demo.plan import KEY, QUIET

ROUNDS = 240
WARM_UP = 20
FEWEST = 50
"""Rounds without which nothing is said."""
_BODY = json.dumps({"model": QUIET, "input": "a", "dimensions": 8}).encode()
_HEADERS = {"content-type": "application/json", "api-key": KEY}


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds. `noise` is what two direct requests differ by, measured in the same way: added time below it means
    nothing."""

    rounds: int
    p50: float
    p99: float
    noise_p99: float


async def measure(direct: str, balanced: str, most_seconds: float) -> Latency | None:
    """Ask `direct` twice and `balanced` once in each round, one after the other in changing order."""
    order = random.Random(1)  # noqa: S311 - an order that is the same each time, not a secret
    clock = asyncio.get_running_loop().time
    over = clock() + most_seconds
    added: list[float] = []
    noise: list[float] = []
    async with aiohttp.ClientSession(headers=_HEADERS) as session:
        for number in range(WARM_UP + ROUNDS):
            if clock() >= over:
                break
            took = await _round(session, (direct, balanced), order)
            if took is not None and number >= WARM_UP:
                added.append(took[1] - took[0])
                noise.append(took[2] - took[0])
    if len(added) < FEWEST:
        return None
    return Latency(len(added), quantile(added, 0.5), quantile(added, 0.99), quantile(noise, 0.99))


async def _round(session: aiohttp.ClientSession, urls: tuple[str, str], order: random.Random) -> list[float] | None:
    """Seconds for direct, balanced, direct again; None when one of them was not answered as usual."""
    took = [0.0, 0.0, 0.0]
    turns = [0, 1, 2]
    order.shuffle(turns)
    for turn in turns:
        began = perf_counter()
        async with session.post(f"{urls[turn % 2]}/openai/v1/embeddings", data=_BODY) as reply:
            await reply.read()
            if reply.status != 200:
                return None
        took[turn] = perf_counter() - began
    return took


def quantile(values: list[float], part: float) -> float:
    """The smallest value that at least `part` of all values do not exceed."""
    return sorted(values)[max(0, -(-round(len(values) * part * 1000) // 1000) - 1)]
