"""Three endpoints, each with objects of its own, behind one address: lists, tenants, workers, restarts, throttling."""

import asyncio
import io
from collections.abc import AsyncIterator

import openai
import pytest
from balancer import Balancer, backends, hasty
from openai import AsyncOpenAI

from lb.sim import Simulator

KEYS = {"LB_CLIENT_KEYS": "ada:ada-key,bob:bob-key"}
SPREAD = {"LB_POLICY": "round-robin"}


class Clients:
    """Clients of the official SDK, each with connections of its own."""

    def __init__(self) -> None:
        self.open: list[AsyncOpenAI] = []

    def at(self, url: str, key: str = "any") -> AsyncOpenAI:
        self.open.append(AsyncOpenAI(base_url=f"{url}/openai/v1", api_key=key, max_retries=0, timeout=30))
        return self.open[-1]

    def direct(self, simulators: list[Simulator]) -> list[AsyncOpenAI]:
        """Past the balancer."""
        return [self.at(simulator.url) for simulator in simulators]


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    for client in clients.open:
        await client.close()


async def responses(sdk: AsyncOpenAI, count: int) -> list[str]:
    return [(await sdk.responses.create(model="chat", input="hi")).id for _ in range(count)]


@pytest.fixture
async def balancer(three: list[Simulator]) -> AsyncIterator[Balancer]:
    async with hasty(**backends(*three, **SPREAD)) as balancer:
        yield balancer


async def files(sdks: list[AsyncOpenAI], count: int) -> list[str]:
    """Files that are made at each endpoint in turn, as by clients that go there without a balancer."""
    made = []
    for number in range(count):
        content = io.BytesIO(b'{"custom_id":"a"}\n')
        sdk = sdks[number % len(sdks)]
        made.append((await sdk.files.create(file=("in.jsonl", content), purpose="batch")).id)
    return made


async def test_a_list_goes_through_all_backends_page_by_page(
    clients: Clients, balancer: Balancer, three: list[Simulator]
) -> None:
    made = await files(clients.direct(three), 25)
    sdk = clients.at(balancer.url)
    listed = [file.id async for file in sdk.files.list(limit=4)]
    assert len(listed) == 25
    assert set(listed) == set(made)
    first = await sdk.files.list(limit=4)
    assert first.has_next_page()
    for name in made:
        assert (await sdk.files.retrieve(name)).id == name
    assert not balancer.events("Found on")  # the list has told where they are
    assert (await sdk.files.delete(made[0])).deleted
    assert made[0] not in [file.id async for file in sdk.files.list(limit=7)]


async def test_a_list_is_not_cut_short_by_a_backend_that_is_down(
    clients: Clients, balancer: Balancer, three: list[Simulator]
) -> None:
    three[1].down()
    with pytest.raises(openai.InternalServerError, match="BACKEND_2"):
        await clients.at(balancer.url).files.list()


async def test_what_the_balancer_has_forgotten_is_found_again(clients: Clients, three: list[Simulator]) -> None:
    async with hasty(**backends(*three, **SPREAD)) as first:
        made = await responses(clients.at(first.url), 6)
    async with hasty(**backends(*three, **SPREAD)) as second:
        sdk = clients.at(second.url)
        for name in made[::-1]:
            answer = await sdk.responses.create(model="chat", input="and?", previous_response_id=name)
            assert (await sdk.responses.retrieve(answer.id)).previous_response_id == name
        with pytest.raises(openai.NotFoundError):
            await sdk.responses.retrieve("resp_00000000000000000000000000")
        status = await second.status()
        assert {row["state"] for row in status["backends"]} == {"available"}
        await second.line(lambda line: line["event"].startswith("Found on"))


async def test_workers_know_what_others_learned_and_keep_tenants_apart(
    clients: Clients, three: list[Simulator]
) -> None:
    async with hasty(**backends(*three, **SPREAD, **KEYS, LB_WORKERS="3")) as balancer:
        for _ in range(6):  # each client has a connection of its own, to any of the workers
            ada = clients.at(balancer.url, "ada-key")
            (name,) = await responses(ada, 1)
            for _ in range(4):
                bob, other_ada = clients.at(balancer.url, "bob-key"), clients.at(balancer.url, "ada-key")
                with pytest.raises(openai.NotFoundError):
                    await bob.responses.retrieve(name)
                with pytest.raises(openai.BadRequestError, match="not found"):
                    await bob.responses.create(model="chat", input="hi", previous_response_id=name)
                assert (await other_ada.responses.retrieve(name)).id == name
        refused = "A request names another tenant's object"
        await balancer.line(lambda line: len(balancer.events(refused)) == 48)
        assert {line["tenant"] for line in balancer.events(refused)} == {"bob"}
        assert {line["worker"] for line in balancer.events("Received response")} == {1, 2, 3}
        assert not balancer.events("Found on")


async def test_a_tenant_lists_what_is_its_own(clients: Clients, three: list[Simulator]) -> None:
    async with hasty(**backends(*three, **SPREAD, **KEYS)) as balancer:
        ada, bob = clients.at(balancer.url, "ada-key"), clients.at(balancer.url, "bob-key")
        of_ada, of_bob = await files([ada], 4), await files([bob], 3)
        await files(clients.direct(three), 3)
        assert {file.id async for file in ada.files.list(limit=3)} == set(of_ada)
        reply = await bob.files.with_raw_response.list()
        assert {file.id for file in reply.parse().data} == set(of_bob)
        assert reply.headers["x-lb-left-out"] == "3"
        with pytest.raises(openai.NotFoundError):
            await bob.files.content(of_ada[0])
        assert (await ada.files.content(of_ada[0])).content


async def test_a_throttled_owner_is_waited_for_and_not_outvoted(
    clients: Clients, balancer: Balancer, three: list[Simulator]
) -> None:
    sdk = clients.at(balancer.url)
    (name,) = await responses(sdk, 1)
    owner = next(sim for sim in three if sim.counts.requests)
    owner.faults.add("429:7*1")
    with pytest.raises(openai.RateLimitError) as refused:
        await sdk.responses.create(model="chat", input="hi", previous_response_id=name)
    assert refused.value.response.headers["retry-after"] == "7"
    assert sum(sim.counts.requests for sim in three) == 2


async def test_the_bytes_of_a_stream_that_is_read_along_are_the_backends_own(
    clients: Clients, balancer: Balancer
) -> None:
    sdk = clients.at(balancer.url)
    stream = await sdk.responses.create(model="chat", input="hi", stream=True)
    kinds = [event.type async for event in stream]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


async def test_a_conversation_stays_where_its_prompt_is_cached(
    clients: Clients, balancer: Balancer, three: list[Simulator]
) -> None:
    sdk = clients.at(balancer.url)
    said = {"role": "user", "content": "word " * 2000}

    async def converse(number: int) -> list[int]:
        cached = []
        for _ in range(3):
            answer = await sdk.chat.completions.create(
                model="chat",
                messages=[{**said, "content": f"{number} {said['content']}"}],  # type: ignore[list-item]
                prompt_cache_key=f"conversation-{number}",
            )
            assert answer.usage is not None
            assert answer.usage.prompt_tokens_details is not None
            cached.append(answer.usage.prompt_tokens_details.cached_tokens or 0)
        return cached

    for first, *others in await asyncio.gather(*map(converse, range(12))):
        assert first == 0
        assert min(others) > 1000
    assert sum(bool(sim.counts.requests) for sim in three) >= 2
