"""The official SDK, in all its forms, takes the simulator for Azure."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator

import openai
import pytest

from lb.sim import Simulator

MESSAGES = [{"role": "user", "content": "hello there"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius"]}, "days": {"type": "integer"}},
        },
    },
}
FLAT_WEATHER = {"type": "function", "strict": False, **WEATHER["function"]}
ARGUMENTS = {"city": "sample", "unit": "celsius", "days": 1}


@pytest.fixture
async def sim(start) -> Simulator:
    return await start(keys=("secret",), deployments=("chat", "emb"))


@pytest.fixture(params=["azure", "azure deployment", "v1"])
async def client(request, sim) -> AsyncIterator[openai.AsyncOpenAI]:
    if request.param == "v1":
        made = openai.AsyncOpenAI(base_url=f"{sim.url}/openai/v1", api_key="secret", max_retries=0)
    else:
        deployment = {"azure_deployment": "chat"} if request.param == "azure deployment" else {}
        made = openai.AsyncAzureOpenAI(
            azure_endpoint=sim.url, api_key="secret", api_version="2024-10-21", max_retries=0, **deployment
        )
    async with made:
        yield made


@pytest.fixture(params=["azure", "v1"])
def blocking(request, sim) -> Iterator[openai.OpenAI]:
    if request.param == "v1":
        made = openai.OpenAI(base_url=f"{sim.url}/openai/v1", api_key="secret", max_retries=0)
    else:
        made = openai.AzureOpenAI(
            azure_endpoint=sim.url, azure_ad_token="secret", api_version="2024-10-21", max_retries=0
        )
    with made:
        yield made


async def aside(call: Callable[[], object]):
    """Run blocking SDK code next to the event loop that serves it."""
    return await asyncio.to_thread(call)


async def test_chat(client, sim):
    answer = await client.chat.completions.create(model="chat", messages=MESSAGES)
    assert answer.choices[0].finish_reason == "stop"
    assert len(answer.choices[0].message.content.split()) == 16
    assert answer.usage.total_tokens == sim.ledger.sum().total == 19


async def test_streaming_chat(client, sim):
    stream = await client.chat.completions.create(
        model="chat", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    whole = await client.chat.completions.create(model="chat", messages=MESSAGES)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


async def test_streaming_chat_without_usage(client, sim):
    stream = await client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
    assert all(chunk.usage is None for chunk in [chunk async for chunk in stream])
    assert sim.ledger.sum().unreported == 1


async def test_a_short_answer_was_cut_by_its_length(client):
    answer = await client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=3, n=2)
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert answer.usage.completion_tokens == 6


async def test_a_tool_is_called_and_its_result_is_answered(client):
    first = await client.chat.completions.create(model="chat", messages=MESSAGES, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", ARGUMENTS)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turns = [*MESSAGES, first.choices[0].message.model_dump(exclude_none=True), result]
    second = await client.chat.completions.create(model="chat", messages=turns, tools=[WEATHER])
    assert second.choices[0].finish_reason == "stop"


async def test_a_tool_call_can_be_streamed(client):
    async with client.chat.completions.stream(model="chat", messages=MESSAGES, tools=[{**WEATHER}]) as stream:
        final = await stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == ARGUMENTS


async def test_structured_output_follows_its_schema(client):
    shape = {"type": "object", "properties": {"names": {"type": "array", "items": {"type": "string"}}}}
    asked = {"type": "json_schema", "json_schema": {"name": "names", "schema": shape}}
    answer = await client.chat.completions.create(model="chat", messages=MESSAGES, response_format=asked)
    assert json.loads(answer.choices[0].message.content) == {"names": ["sample"]}


async def test_completions(client):
    whole = await client.completions.create(model="chat", prompt="hello")
    stream = await client.completions.create(model="chat", prompt="hello", stream=True)
    texts = [chunk.choices[0].text async for chunk in stream if chunk.choices]
    assert "".join(texts) == whole.choices[0].text


async def test_responses(client, sim):
    made = await client.responses.create(model="chat", input="hello there")
    assert made.status == "completed"
    assert len(made.output_text.split()) == 16
    assert made.usage.total_tokens == sim.ledger.sum().total
    again = await client.responses.retrieve(made.id)
    assert again.output_text == made.output_text
    following = await client.responses.create(model="chat", input="go on", previous_response_id=made.id)
    assert following.previous_response_id == made.id
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_a_response_that_was_not_stored_cannot_be_continued(client):
    made = await client.responses.create(model="chat", input="hello", store=False)
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.responses.create(model="chat", input="go on", previous_response_id=made.id)
    assert wrong.value.code == "previous_response_not_found"
    assert wrong.value.param == "previous_response_id"


async def test_streaming_responses(client):
    async with client.responses.stream(model="chat", input="hello there") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.type for event in events][:2] == ["response.created", "response.in_progress"]
    assert [event.sequence_number for event in events if event.type != "response.output_text.delta"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == final.output_text
    assert final.usage.output_tokens == 16


async def test_a_response_calls_a_function(client):
    made = await client.responses.create(model="chat", input="hello", tools=[FLAT_WEATHER])
    (call,) = made.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "weather", ARGUMENTS)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    after = await client.responses.create(model="chat", input=[result], tools=[FLAT_WEATHER])
    assert after.output_text
    stream = await client.responses.create(model="chat", input="hello", tools=[FLAT_WEATHER], stream=True)
    done = [event async for event in stream if event.type == "response.function_call_arguments.done"]
    assert json.loads(done[0].arguments) == ARGUMENTS


async def test_a_response_that_was_cut_is_incomplete(client):
    made = await client.responses.create(model="chat", input="hello", max_output_tokens=2)
    assert (made.status, made.incomplete_details.reason) == ("incomplete", "max_output_tokens")


async def test_thinking_costs_tokens(client):
    made = await client.responses.create(model="chat", input="hello", reasoning={"effort": "low"})
    assert made.usage.output_tokens_details.reasoning_tokens == 8
    assert made.usage.output_tokens == 24


async def test_embeddings_are_the_same_in_both_encodings(client):
    model = "emb"
    coded = await client.embeddings.create(model=model, input=["one", "two"], dimensions=64)
    plain = await client.embeddings.create(model=model, input=["one", "two"], dimensions=64, encoding_format="float")
    assert [len(row.embedding) for row in coded.data] == [64, 64]
    for left, right in zip(coded.data, plain.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding)
        assert sum(x * x for x in left.embedding) == pytest.approx(1.0, rel=1e-5)
    assert coded.data[0].embedding != coded.data[1].embedding


async def test_models(client):
    assert [model.id async for model in client.models.list()] == ["chat", "emb"]
    assert (await client.models.retrieve("chat")).id == "chat"


async def test_the_blocking_client(blocking, sim):
    answer = await aside(lambda: blocking.chat.completions.create(model="chat", messages=MESSAGES))
    assert answer.choices[0].message.content
    stream = await aside(lambda: list(blocking.chat.completions.create(model="chat", messages=MESSAGES, stream=True)))
    assert stream[-1].choices[0].finish_reason == "stop"
    made = await aside(lambda: blocking.responses.create(model="chat", input="hello"))
    assert made.output_text
    events = await aside(lambda: list(blocking.responses.create(model="chat", input="hello", stream=True)))
    assert events[-1].type == "response.completed"
    vectors = await aside(lambda: blocking.embeddings.create(model="emb", input="hello"))
    assert len(vectors.data[0].embedding) == 1536
    assert sim.counts.statuses == {200: 5}


async def test_a_wrong_key_is_an_authentication_error(sim):
    async with openai.AsyncOpenAI(base_url=f"{sim.url}/openai/v1", api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat.completions.create(model="chat", messages=MESSAGES)


async def test_an_unknown_deployment_is_not_found(sim):
    async with openai.AsyncOpenAI(base_url=f"{sim.url}/openai/v1", api_key="secret", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as wrong:
            await client.embeddings.create(model="other", input="x")
    assert wrong.value.code == "DeploymentNotFound"


async def test_the_sdk_waits_as_long_as_a_429_says(sim, clock):
    sim.faults.script("429-ms:0.01", "429-ms:0.01", "ok")
    async with openai.AsyncOpenAI(base_url=f"{sim.url}/openai/v1", api_key="secret", max_retries=2) as patient:
        assert await patient.chat.completions.create(model="chat", messages=MESSAGES)
    assert sim.counts.statuses == {429: 2, 200: 1}


@pytest.mark.parametrize("kind", ["stream-throttle", "stream-throttle-late", "stream-error", "stream-refusal"])
async def test_an_error_in_a_stream_reaches_the_caller(client, sim, kind):
    sim.faults.script(kind, kind)
    stream = await client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]
    stream = await client.responses.create(model="chat", input="hello", stream=True)
    with pytest.raises(openai.APIError):
        [event async for event in stream]
    assert sim.faults.happened == {kind: 2}


@pytest.mark.parametrize(
    "odd", ["split", "coalesce", "crlf", "cr", "comments", "bom", "null-usage", "no-usage", "no-done"]
)
async def test_the_sdk_reads_odd_streams(client, sim, odd):
    sim.faults.add(odd)
    asked = {"model": "chat", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    stream = await client.chat.completions.create(**asked)
    parts = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert len([part for part in parts if part]) == 16
    assert sim.faults.happened == {odd: 1}
