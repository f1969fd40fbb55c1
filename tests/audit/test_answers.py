"""What a streamed answer is put together to: what the official SDK would have given, however the bytes were cut."""

import gzip
import json
import zlib
from itertools import pairwise
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState

from lb.audit.answers import answer_of, answer_of_stream
from lb.audit.records import content
from lb.sim import Simulator

words = st.text(max_size=12)
ends = st.sampled_from(["\n\n", "\r\n\r\n", "\r\r"])


def deltas() -> st.SearchStrategy[dict[str, Any]]:
    """What one chunk may say of a choice."""
    call = st.fixed_dictionaries({"index": st.integers(0, 2), "function": st.fixed_dictionaries({"arguments": words})})
    return st.one_of(
        st.fixed_dictionaries({"content": words}),
        st.fixed_dictionaries({"refusal": words}),
        st.fixed_dictionaries({"tool_calls": st.lists(call, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"content": st.none(), "role": st.just("assistant")}),
        st.just({}),
    )


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A chat's stream: several choices, comments, any line ends, perhaps usage, perhaps no end."""
    end, newline = draw(ends), "\n"
    newline = end[: len(end) // 2]
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x"}
    opening = [{"index": index, "delta": {"role": "assistant", "content": "", "tool_calls": [
        {"index": place, "id": f"call_{place}", "type": "function", "function": {"name": "f", "arguments": ""}}
        for place in range(3)]}, "finish_reason": None} for index in range(2)]  # fmt: skip
    chunks = [{**frame, "choices": opening}]
    for index, delta in draw(st.lists(st.tuples(st.integers(0, 1), deltas()), max_size=12)):
        chunks.append({**frame, "choices": [{"index": index, "delta": delta, "finish_reason": None}]})
    chunks.append({**frame, "choices": [{"index": index, "delta": {}, "finish_reason": "stop"} for index in range(2)]})
    if draw(st.booleans()):
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        chunks.append({**frame, "choices": [], "usage": usage})
    ascii_only = draw(st.booleans())
    comment = f": keep-alive{newline}" if draw(st.booleans()) else ""
    events = [f"{comment}data: {json.dumps(chunk, ensure_ascii=ascii_only)}{end}" for chunk in chunks]
    return "".join([*events, f"data: [DONE]{end}"]).encode("utf-8", "replace")


class Cut(httpx2.SyncByteStream):
    """A body that comes in these pieces."""

    def __init__(self, body: bytes, cuts: list[int]) -> None:
        places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
        self.pieces = [body[one:other] for one, other in pairwise(places)]

    def __iter__(self) -> Any:
        return iter(self.pieces)


def by_the_sdk(body: bytes, cuts: list[int]) -> Any:
    """The completion that the official SDK makes of it."""
    reply = httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Cut(body, cuts))
    transport = httpx2.MockTransport(lambda request: reply)
    sdk = openai.OpenAI(api_key="k", base_url="http://b/v1", http_client=httpx2.Client(transport=transport))
    state = ChatCompletionStreamState()
    with sdk:
        for chunk in sdk.chat.completions.create(model="m", messages=[], stream=True):
            state.handle_chunk(chunk)
    return state.current_completion_snapshot


@settings(max_examples=60, deadline=None)
@given(body=streams(), cuts=st.lists(st.integers(0, 4000), max_size=20))
def test_it_is_what_the_sdk_makes_of_the_same_bytes(body: bytes, cuts: list[int]) -> None:
    expected = by_the_sdk(body, cuts)
    turns, model = answer_of_stream(body)
    assert model == expected.model
    assert len(turns) == len(expected.choices)
    for turn, choice in zip(turns, expected.choices, strict=True):
        message = choice.message
        assert turn["content"] == (message.content or "")
        assert turn.get("refusal", "") == (message.refusal or "")
        assert (turn["role"], turn["finish_reason"], turn["index"]) == ("assistant", "stop", choice.index)
        theirs = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []]
        assert [(call["id"], call["name"], call["arguments"]) for call in turn["tool_calls"]] == theirs


@settings(max_examples=60, deadline=None)
@given(body=streams(), at=st.integers(0, 4000))
def test_of_a_stream_that_was_cut_it_is_a_beginning(body: bytes, at: int) -> None:
    whole = {turn["index"]: turn["content"] for turn in answer_of_stream(body)[0]}
    for turn in answer_of_stream(body[:at])[0]:
        assert whole[turn["index"]].startswith(turn["content"])


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=300))
def test_no_bytes_at_all_are_too_odd(body: bytes) -> None:
    for hostile in (body, b"data: " + body + b"\n\n", b'data: {"choices":[' + body + b"]}\n\n"):
        turns, _ = answer_of_stream(hostile)
        json.dumps(turns)


NAMES = [
    "choices",
    "delta",
    "message",
    "content",
    "index",
    "tool_calls",
    "function",
    "type",
    "item",
    "output",
    "response",
    "error",
    "text",
    "input",
    "messages",
    "role",
    "data",
    "embedding",
    "output_index",
    "prompt",
    "tools",
    "image_url",
    "arguments",
    "usage",
    "model",
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
READING = {
    "call": "chat",
    "asked": {"kind": "application/json", "coding": "", "length": 0},
    "told": {"kind": "application/json", "coding": "", "length": 0},
}
STREAMED = {**READING, "told": {"kind": "text/event-stream", "coding": "", "length": 0}}


@settings(max_examples=300, deadline=None)
@given(asked=values, told=values, call=st.sampled_from(["chat", "responses", "embeddings", "other"]))
def test_no_json_is_too_odd(asked: object, told: object, call: str) -> None:
    request, reply = json.dumps(asked).encode(), json.dumps(told).encode()
    json.dumps(content({**READING, "call": call}, request, reply))
    json.dumps(content({**STREAMED, "call": call}, request, b"data: " + reply + b"\n\n"))


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello you"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'}


def test_a_response_that_ended_is_what_its_end_says() -> None:
    done = {"type": "response.completed", "response": {"status": "completed", "model": "m-1", "output": [ITEM, CALL]}}
    turns, model = answer_of_stream(sse({"type": "response.output_text.delta", "output_index": 0, "delta": "He"}, done))
    assert turns == [
        {"role": "assistant", "content": "Hello you"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "name": "look", "arguments": '{"a":1}'}],
        },
    ]
    assert model == "m-1"


def test_a_response_that_was_cut_is_what_its_pieces_say() -> None:
    added = {"type": "response.output_item.added", "output_index": 1, "item": {**CALL, "arguments": ""}}
    turns, model = answer_of_stream(
        sse(
            {"type": "response.created", "response": {"status": "in_progress", "model": "m-1", "output": []}},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "Hm."},
            {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
            {"type": "response.output_text.delta", "output_index": 0, "delta": "lo"},
            added,
            {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a"'},
        )
    )
    assert turns[0] == {"index": 0, "content": "Hello", "reasoning": "Hm."}
    assert turns[1]["tool_calls"] == [{"id": "c1", "name": "look", "arguments": '{"a"'}]
    assert model == "m-1"


def test_an_error_in_a_stream_is_told() -> None:
    turns, _ = answer_of_stream(sse({"choices": [{"index": 0, "delta": {"content": "He"}}]}, {"error": {"code": "x"}}))
    assert turns == [{"index": 0, "content": "He"}, {"error": '{"code":"x"}'}]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"error": {"code": "content_filter"}}, [{"error": '{"code":"content_filter"}'}]),
        ({"choices": [{"text": "Hello", "finish_reason": "length"}]},
         [{"index": 0, "content": "Hello", "finish_reason": "length"}]),
        ({"object": "list", "data": [{"embedding": [0.1, 0.2]}, {"embedding": [0.3, 0.4]}]},
         [{"embeddings": 2, "dimensions": 2}]),
        ({"object": "list", "data": [{"embedding": "AAAAAA=="}]}, [{"embeddings": 1, "dimensions": 1}]),
        ({"text": "What was said"}, [{"content": "What was said"}]),
        ({"id": "batch_1"}, [{"content": '{"id":"batch_1"}'}]),
    ],
)  # fmt: skip
def test_whole_replies_of_every_kind(told: object, shown: object) -> None:
    assert answer_of(told) == shown


def test_numbers_of_embeddings_are_never_kept() -> None:
    told = {"object": "list", "data": [{"embedding": [0.123456, 0.2]}], "model": "emb", "usage": {}}
    assert "0.123456" not in json.dumps(
        content({**READING, "call": "embeddings"}, b'{"input":"x"}', json.dumps(told).encode())
    )


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZIP ", gzip.compress)],
)
def test_a_compressed_reply_is_read(coding: str, pack: Any) -> None:
    body = pack(json.dumps({"choices": [{"message": {"role": "assistant", "content": "Hello"}}]}).encode())
    how = {**READING, "told": {"kind": "application/json", "coding": coding, "length": len(body)}}
    (turn,) = content(how, b"{}", body)["response"]
    assert turn["content"] == "Hello"


@pytest.mark.parametrize("coding", ["br", "gzip", "zstd"])
def test_a_coding_that_is_not_known_or_not_true_is_told_by_its_length(coding: str) -> None:
    how = {**READING, "told": {"kind": "application/json", "coding": coding, "length": 9}}
    assert content(how, b"{}", b"not that.").get("response") in (None, [])


def test_a_small_body_that_unpacks_to_gigabytes_is_not_unpacked_whole() -> None:
    bomb = gzip.compress(b"a" * 100_000_000, 1)
    how = {**READING, "told": {"kind": "text/plain", "coding": "gzip", "length": len(bomb)}}
    (turn,) = content(how, b"{}", bomb)["response"]
    assert len(turn["content"]) <= 32 * 1024 * 1024


def test_what_is_no_text_is_told_by_kind_and_length() -> None:
    how = {**READING, "told": {"kind": "audio/mpeg", "coding": "", "length": 5}}
    assert content(how, b"{}", b"\xff\xfb\x90\x00\x01")["response"] == [{"content": "[audio/mpeg, 5 bytes]"}]


async def test_the_simulators_streams_say_what_its_whole_replies_say() -> None:
    async with Simulator() as sim, httpx2.AsyncClient(base_url=sim.url) as client:
        for call, name, body in (
            ("chat/completions", "chat", {"messages": [{"role": "user", "content": "Tell me"}], "n": 2}),
            ("completions", "completions", {"prompt": "Once"}),
            ("responses", "responses", {"input": "Once"}),
        ):
            texts = []
            for streamed in (False, True):
                asked = {"model": "chat", **body, "stream": streamed}
                reply = await client.post(f"/openai/v1/{call}", json=asked)
                kind = reply.headers["content-type"].partition(";")[0]
                how = {**READING, "call": name, "told": {"kind": kind, "coding": "", "length": 0}}
                found = content(how, json.dumps(asked).encode(), reply.content)
                texts.append([turn["content"] for turn in found["response"]])
            assert texts[0] == texts[1]
            assert all(texts[0])
