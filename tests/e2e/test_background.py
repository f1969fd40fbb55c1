"""A response that is made in the background is asked for where it is made, until it is done, by any balancer."""

import asyncio

from balancer import PATIENCE, Balancer, backends
from openai import AsyncOpenAI

from lb.sim import Simulator


async def poll(front: Balancer, made: str) -> tuple[list[str], str]:
    """The states that are seen, and what it says in the end."""
    states: list[str] = []
    async with (
        AsyncOpenAI(base_url=front.url + "/openai/v1", api_key="k", max_retries=0) as client,
        asyncio.timeout(PATIENCE),
    ):
        while True:
            response = await client.responses.retrieve(made)
            states.append(response.status or "")
            if response.status not in ("queued", "in_progress"):
                return states, response.output_text


async def begin(front: Balancer) -> str:
    async with AsyncOpenAI(base_url=front.url + "/openai/v1", api_key="k", max_retries=0) as client:
        response = await client.responses.create(model="chat", input="think", background=True)
        assert response.status in ("queued", "in_progress")
        return response.id


async def test_it_is_asked_for_where_it_is_made(three: list[Simulator]) -> None:
    async with Balancer(**backends(*three)) as front:
        begun = [await begin(front) for _ in range(6)]
        for made in begun:
            states, text = await poll(front, made)
            assert states[-1] == "completed"
            assert text
        asked = [sum(record.method == "GET" for record in simulator.received) for simulator in three]
        assert sum(count > 0 for count in asked) > 1, "they were made in several places"
        answered = {record.status for simulator in three for record in simulator.received}
        assert answered == {200}, "nobody was asked in vain"


async def test_a_balancer_that_knows_nothing_of_it_finds_it(three: list[Simulator]) -> None:
    async with Balancer(**backends(*three)) as front:
        begun = [await begin(front) for _ in range(6)]
    async with Balancer(**backends(*three)) as another:
        for made in begun:
            states, _ = await poll(another, made)
            assert states[-1] == "completed"
