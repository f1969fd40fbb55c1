"""The surfaces of Azure AI Foundry by raw requests: the Models API, models that are not OpenAI's, and Anthropic's
Messages."""

import json
from collections.abc import AsyncIterator

import pytest
from balancer import Balancer, backends, hasty
from raw import Message, RawBackend, exchange, post, sized

from lb.sim import Simulator

JSON = b"Content-Type: application/json"
VERSION = b"?api-version=2024-05-01-preview"
CHAT = b'{"model":"deepseek","messages":[{"role":"user","content":"hello"}]}'
NAMES = {"BACKEND_1_DEPLOYMENTS": "deepseek=DeepSeek-V3.1", "BACKEND_2_DEPLOYMENTS": "deepseek=deepseek-west"}


async def ask(front: Balancer, target: bytes, body: bytes, *fields: bytes) -> Message:
    return await exchange(front.url, *sized(target, body, JSON, *fields))


@pytest.fixture
async def front(three: list[Simulator]) -> AsyncIterator[Balancer]:
    async with hasty(**backends(*three[:2], **NAMES), LB_USAGE="true", BACKEND_2_PRIORITY="2") as front:
        yield front


async def test_the_models_api_is_routed_renamed_and_failed_over(three: list[Simulator], front: Balancer) -> None:
    target = b"/models/chat/completions" + VERSION
    answer = await ask(front, target, CHAT, b"extra-parameters: pass-through", b"azureml-model-deployment: secret")
    assert (answer.status, answer.all(b"x-lb-backend")) == (200, [b"BACKEND_1"])
    (record,) = three[0].received
    assert record.body == CHAT.replace(b"deepseek", b"DeepSeek-V3.1")
    assert record.get(b"extra-parameters") == b"pass-through"
    assert record.get(b"azureml-model-deployment") is None, "it might name another deployment than the body"
    three[0].faults.add("chat=429:7*1")
    answer = await ask(front, target, CHAT)
    assert (answer.status, answer.all(b"x-lb-backend")) == (200, [b"BACKEND_2"])
    assert three[1].received[0].body == CHAT.replace(b"deepseek", b"deepseek-west")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (b"/models/embeddings", b'{"model":"deepseek","input":["hello"]}'),
        (b"/models/images/embeddings", b'{"model":"deepseek","input":[{"image":"data:,","text":"x"}]}'),
    ],
)
async def test_embeddings_of_texts_and_of_images(front: Balancer, path: bytes, body: bytes) -> None:
    answer = await ask(front, path + VERSION, body)
    assert (answer.status, json.loads(answer.body)["object"]) == (200, "list")


async def test_the_model_tells_about_itself(front: Balancer) -> None:
    answer = await exchange(front.url, post(b"/models/info" + VERSION, method=b"GET"))
    assert (answer.status, json.loads(answer.body)["model_type"]) == (200, "chat-completion")


async def test_a_stream_of_the_models_api_is_relayed_and_counted(front: Balancer) -> None:
    body = CHAT[:-1] + b',"stream":true,"stream_options":{"include_usage":true}}'
    answer = await ask(front, b"/models/chat/completions" + VERSION, body)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    seen = await exchange(front.admin, post(b"/metrics", method=b"GET"))
    assert b'method_name="chat"' in seen.body


async def test_models_that_are_not_openais_under_v1(three: list[Simulator], front: Balancer) -> None:
    for path in (b"/openai/v1/chat/completions", b"/openai/v1/responses"):
        body = CHAT if path.endswith(b"completions") else b'{"model":"deepseek","input":"hello"}'
        assert (await ask(front, path, body)).status == 200
    assert {record.deployment for record in three[0].received} == {"DeepSeek-V3.1"}


MESSAGE = b'{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'
SAID = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hello."}],
    "usage": {"input_tokens": 11, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 3},
}  # fmt: skip
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'


def reply(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


async def test_anthropics_messages_are_inference_with_a_cost() -> None:
    async with RawBackend() as one, RawBackend() as two:
        one.answers(reply(b"text/event-stream", OVERLOADED))
        two.answers(reply(b"application/json", json.dumps(SAID).encode()))
        async with hasty(
            BACKEND_1_URL=one.url,
            BACKEND_1_APIKEY="key-1",
            BACKEND_1_DEPLOYMENTS="claude=claude-one",
            BACKEND_2_URL=two.url,
            BACKEND_2_APIKEY="key-2",
            BACKEND_2_DEPLOYMENTS="claude=claude-two",
            BACKEND_2_PRIORITY="2",
            LB_USAGE="true",
        ) as front:
            answer = await ask(front, b"/anthropic/v1/messages", MESSAGE, b"anthropic-version: 2023-06-01")
            assert (answer.status, json.loads(answer.body)) == (200, SAID)
            assert answer.all(b"x-lb-attempts") == [b"2"], "an overloaded stream is passed over before its content"
            (got,) = two.received
            assert got.body == MESSAGE.replace(b'"claude"', b'"claude-two"')
            assert (got.all(b"x-api-key"), got.all(b"api-key")) == ([b"key-2"], [b"key-2"])
            assert got.all(b"anthropic-version") == [b"2023-06-01"]
            seen = (await exchange(front.admin, post(b"/metrics", method=b"GET"))).body.decode()
            (line,) = [one for one in seen.splitlines() if one.startswith("openai_total_tokens_total{")]
            assert 'method_name="messages"' in line
            assert line.endswith(" 18.0")
