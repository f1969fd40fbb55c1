"""Objects that live on one of three backends, used through the balancer as if there were one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from balancer import Balancer, backends, hasty
from state_scripts import SCRIPTS, Held, client_of, count_pauses, nothing

from lb.sim import Simulator

pytestmark = [
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),
]
EVERYWHERE = {"LB_POLICY": "round-robin"}
"""The next request goes to the next backend, unless somebody knows better."""


@pytest.fixture
async def balancer(three: list[Simulator]) -> AsyncIterator[Balancer]:
    async with hasty(**backends(*three, **EVERYWHERE)) as balancer:
        yield balancer


@pytest.mark.parametrize("form", ["azure", "v1"])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_script_passes_at_one_resource(name: str, form: str, three: list[Simulator]) -> None:
    async with client_of(three[0].url, form) as client:
        await SCRIPTS[name](client, nothing)


async def test_a_script_passes_through_the_balancer(balancer: Balancer, three: list[Simulator]) -> None:
    for form in ("azure", "v1"):
        async with client_of(balancer.url, form) as client:
            for _ in range(3):
                await asyncio.gather(*(script(client, nothing) for script in SCRIPTS.values()))
    assert all(simulator.counts.requests for simulator in three), "one backend had it all: this shows nothing"


async def test_a_script_passes_when_the_balancer_is_restarted_at_any_of_its_pauses(three: list[Simulator]) -> None:
    settings = backends(*three, **EVERYWHERE)
    async with client_of(three[0].url, "v1") as direct:
        pauses = {name: await count_pauses(script, direct) for name, script in SCRIPTS.items()}
    async with hasty(**settings) as first:
        client = client_of(first.url, "v1")
        held = [Held(SCRIPTS[name], client, at) for name, count in pauses.items() for at in range(count)]
        await asyncio.gather(*(one.there() for one in held))
    async with hasty(**settings, LB_PORT=first.url.rpartition(":")[2]):
        for one in held:
            one.go.set()
        await asyncio.gather(*(one.over for one in held))
    await client.close()
