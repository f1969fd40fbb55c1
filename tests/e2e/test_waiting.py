"""LB_MAX_WAIT_SECONDS as a user sees it: no 429 while the wait is short."""

import asyncio
from collections import Counter

from asks import ask, client
from balancer import Balancer, backends

from lb.sim import Settings, Simulator

CROWD = 12
SCARCE = Settings(tpm=150, window_seconds=3)


async def crowd(seconds: str) -> Counter[int]:
    """What becomes of a crowd that is larger than the limit."""
    async with (
        Simulator(SCARCE) as one,
        Balancer(**backends(one, LB_MAX_WAIT_SECONDS=seconds)) as balancer,
        client(balancer, "any") as sdk,
    ):
        found = Counter(await asyncio.gather(*[ask(sdk) for _ in range(CROWD)]))
        await balancer.settled()
        return found


async def test_a_crowd_waits_for_the_next_window_if_that_is_wanted() -> None:
    assert await crowd("20") == {200: CROWD}


async def test_and_is_told_to_come_back_if_it_is_not() -> None:
    found = await crowd("0")
    assert found.keys() == {200, 429}
