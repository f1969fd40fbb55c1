"""The official SDK against the real command: no call changes, and none notices a throttled backend."""

import json
from collections.abc import AsyncIterator

import openai
import pytest
from balancer import Balancer, backends
from openai import AsyncAzureOpenAI, AsyncOpenAI

from lb.sim import Simulator

SAID = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture
async def balancer(three: list[Simulator]) -> AsyncIterator[Balancer]:
    async with Balancer(**backends(*three)) as balancer:
        yield balancer


@pytest.fixture(params=["azure", "v1"])
async def client(request: pytest.FixtureRequest, balancer: Balancer) -> AsyncIterator[AsyncOpenAI]:
    if request.param == "azure":
        made: AsyncOpenAI = AsyncAzureOpenAI(
            azure_endpoint=balancer.url, api_key="clients-own", api_version="2025-04-01-preview", max_retries=0
        )
    else:
        made = AsyncOpenAI(base_url=f"{balancer.url}/openai/v1", api_key="clients-own", max_retries=0)
    async with made:
        yield made


async def test_chat(client: AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(model="chat", messages=SAID)
    assert reply.choices[0].message.content
    assert reply.usage
    assert reply.usage.total_tokens > 0


async def test_streaming_chat(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="chat", messages=SAID, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert any(chunk.choices and chunk.choices[0].delta.content for chunk in chunks)
    assert chunks[-1].usage


async def test_a_tool_call(client: AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(model="chat", messages=SAID, tools=TOOLS, tool_choice="required")
    assert reply.choices[0].message.tool_calls
    assert reply.choices[0].message.tool_calls[0].function.name == "weather"


async def test_responses(client: AsyncOpenAI) -> None:
    reply = await client.responses.create(model="chat", input="hello")
    assert reply.output_text


async def test_streaming_responses(client: AsyncOpenAI) -> None:
    events = [event async for event in await client.responses.create(model="chat", input="hello", stream=True)]
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"


async def test_embeddings(client: AsyncOpenAI) -> None:
    reply = await client.embeddings.create(model="embedding", input=["one", "two"])
    assert [len(item.embedding) > 0 for item in reply.data] == [True, True]


async def test_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()]


async def test_a_throttled_backend_goes_unnoticed(
    client: AsyncOpenAI, three: list[Simulator], balancer: Balancer
) -> None:
    three[0].faults.add("429:7*1")
    three[1].faults.add("429:7*1")
    for _ in range(6):
        await client.chat.completions.create(model="chat", messages=SAID)
    assert sum(simulator.counts.statuses[429] for simulator in three) == 2
    assert (await balancer.status())["requests"]["throttled_absorbed"] == 2


async def test_a_throttled_stream_goes_unnoticed(client: AsyncOpenAI, three: list[Simulator]) -> None:
    for simulator in three[:2]:
        simulator.faults.add("stream-throttle*1")
    for _ in range(4):
        stream = await client.chat.completions.create(model="chat", messages=SAID, stream=True)
        assert [chunk async for chunk in stream]


async def test_all_throttled_is_one_429_with_the_soonest_wait(client: AsyncOpenAI, three: list[Simulator]) -> None:
    for simulator, seconds in zip(three, (30, 7, 60), strict=True):
        simulator.faults.add(f"429:{seconds}")
    with pytest.raises(openai.RateLimitError) as raised:
        await client.chat.completions.create(model="chat", messages=SAID)
    headers = raised.value.response.headers
    assert headers["retry-after"] == "7"
    assert 6_000 < int(headers["retry-after-ms"]) <= 7_000
    assert raised.value.body == {"code": "429", "message": raised.value.body["message"]}  # type: ignore[index, call-overload]
    assert [simulator.counts.requests for simulator in three] == [1, 1, 1]


@pytest.mark.parametrize("form", ["azure", "v1"])
async def test_a_backend_receives_what_it_would_receive_directly(
    form: str, three: list[Simulator], balancer: Balancer
) -> None:
    """Byte for byte, but for host and credential."""
    seen = []
    for url in (three[0].url, balancer.url):
        if form == "azure":
            made: AsyncOpenAI = AsyncAzureOpenAI(
                azure_endpoint=url, api_key="clients-own", api_version="2025-04-01-preview", max_retries=0
            )
        else:
            made = AsyncOpenAI(base_url=f"{url}/openai/v1", api_key="clients-own", max_retries=0)
        async with made:
            await made.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": 'ünïcödé \u2028 "quoted"'}], temperature=0.5
            )
        seen.append(
            next(
                s.received[-1]
                for s in three
                if s.received and s.received[-1].at == max(x.received[-1].at for x in three if x.received)
            )
        )
    direct, through = seen
    assert (through.method, through.target, through.body) == (direct.method, direct.target, direct.body)
    secret = {b"host", b"api-key", b"authorization"}
    kept = [[(k, v) for k, v in one.headers if k.lower() not in secret] for one in (direct, through)]
    assert sorted(kept[0]) == sorted(kept[1])
    assert b"clients-own" not in b"".join(v for _, v in through.headers)
    assert (through.get(b"api-key") or b"").startswith(b"key-of-")


async def test_the_log_says_what_happened(client: AsyncOpenAI, three: list[Simulator], balancer: Balancer) -> None:
    three[0].faults.add("429:1*1")
    for _ in range(3):
        await client.chat.completions.create(model="chat", messages=SAID)
    cooled = await balancer.line(lambda line: line["event"].startswith("Destination `BACKEND_1` marked as unhealthy"))
    assert cooled["event"] == "Destination `BACKEND_1` marked as unhealthy, reactivation in 00:00:01"
    assert cooled["level"] == "warning"
    assert cooled["deployment"] == "chat"
    assert cooled["reason"]
    back = await balancer.line(lambda line: line["event"] == "Destination `BACKEND_1` is available again")
    assert back["level"] == "info"
    assert {line["event"] for line in balancer.events("Received response")} == {
        "Received response 200",
        "Received response 429",
    }
    assert len(balancer.events(f"Proxying to {three[0].url}/openai/")) >= 1
    assert "clients-own" not in json.dumps(balancer.lines)
    assert "key-of-" not in json.dumps(balancer.lines)
