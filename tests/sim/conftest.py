"""A simulator with a virtual clock, and a plain way to speak HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest
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
