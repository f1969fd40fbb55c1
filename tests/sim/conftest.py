"""A simulator with a virtual clock, and a plain way to speak HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import openai
import pytest
from sdk import clients
from sim_asks import TODAY, VirtualClock

from lb.sim import Settings, Simulator

Start = Callable[..., Awaitable[Simulator]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def start(clock: VirtualClock) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def begin(**settings: object) -> Simulator:
            made = Simulator(Settings(**settings), clock=clock, today=lambda: TODAY, sleep=clock.sleep)
            return await stack.enter_async_context(made)

        yield begin


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
async def two(start) -> list[Simulator]:
    return [await start(name="openai1"), await start(name="openai2")]


@pytest.fixture(params=["azure", "v1"])
async def pair(request, two) -> AsyncIterator[list[openai.AsyncOpenAI]]:
    """A client of each of two resources."""
    async with clients(two, request.param) as made:
        yield made
