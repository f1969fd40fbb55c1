"""Which objects a request names: by path, by query, by body; found by a search, and by reading all of it."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing import references
from lb.balancing.references import EXACT_MAX, MOST, Kind, Reference, Unread, exact, hides, searched
from lb.balancing.scenes import Scene, scene

ID = "resp_0123456789abcdef"
SEALED = "gAAAAABo" + "x" * 2000
RESPONSES = Scene("responses")
THREADS = Scene("threads")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/openai/v1/responses", Scene("responses", whole=True)),
        (b"/openai/responses?api-version=x", Scene("responses", whole=True)),
        (b"/v1/responses/resp_12345/cancel", Scene("responses", (b"resp_12345",))),
        (b"/openai/v1/responses/resp%5F12345", Scene("responses", (b"resp_12345",))),
        (b"/openai/v1/responses/compact", Scene("responses", whole=True)),
        (b"/openai/v1/files", Scene("files", listing=True, whole=True)),
        (b"/openai/v1/files/?purpose=batch&after=file-99", Scene("files", (b"file-99",), listing=True, whole=True)),
        (b"/openai/v1/files/file-12345/content", Scene("files", (b"file-12345",), content=True)),
        (b"/openai/v1/fine_tuning/jobs", Scene("fine_tuning", listing=True, whole=True)),
        (b"/openai/v1/fine_tuning/jobs/ftjob-12345/events", Scene("fine_tuning", (b"ftjob-12345",))),
        (
            b"/openai/threads/thread_12345/runs/run_12345/steps?after=step_12345&api-version=1",
            Scene("threads", (b"thread_12345", b"run_12345", b"step_12345")),
        ),
        (b"/openai/v1/vector_stores/vs_12345/files/file-12345", Scene("vector_stores", (b"vs_12345", b"file-12345"))),
        (b"/openai/v1/chat/completions", Scene("chat", listing=True, whole=True)),
        (b"/openai/deployments/files/chat/completions?api-version=1", Scene("chat", listing=True, whole=True)),
        (b"/openai/v1/chat/completions/chatcmpl-12345/messages", Scene("chat", (b"chatcmpl-12345",))),
        (b"/openai/v1/video/generations/jobs", Scene("video", listing=True, whole=True)),
        (b"/openai/v1/video/generations/jobs/task_12345", Scene("video", (b"task_12345",))),
        (b"/openai/v1/video/generations/gen_12345/content/video", Scene("video", (b"gen_12345",), content=True)),
        (b"/openai/files/import?api-version=1", Scene("files", whole=True)),
        (
            b"/openai/fine_tuning/jobs/ftjob-12345/checkpoints/ftckpt-12345/copy",
            Scene("fine_tuning", (b"ftjob-12345", b"ftckpt-12345")),
        ),
        (b"/openai/v1/uploads", Scene("uploads", whole=True)),
        (b"/openai/threads/thread_12345/messages", Scene("threads", (b"thread_12345",))),
        (b"/anthropic/v1/messages/batches", Scene("messages", whole=True)),
        (b"/anthropic/v1/messages/batches/msgbatch_12345", Scene("messages", (b"msgbatch_12345",))),
        (
            b"/anthropic/v1/messages/batches/msgbatch_12345/results",
            Scene("messages", (b"msgbatch_12345",), content=True),
        ),
        (b"/anthropic/v1/files", Scene("files", whole=True)),
        (b"/anthropic/v1/messages", None),
        (b"/openai/v1/files;x=1", Scene("files", whole=True, odd=True)),
        (b"/openai;x/v1/files", Scene("files", whole=True, odd=True)),
        (b"/openai/v1/files/file-12345%20", Scene("files", (b"file-12345",), odd=True)),
        (b"/openai/v1/files/file-12345%2Fcontent", Scene("files", (b"file-12345",), content=True, odd=True)),
        (b"/openai/v1/files/%2566ile-12345", Scene("files", (b"file-12345",), odd=True)),
        (b"/openai/v1/x/../files/./file-12345", Scene("files", (b"file-12345",), odd=True)),
        (b"/openai/v1/files/file-12345.", Scene("files", (b"file-12345",), odd=True)),
        (b"/openai/deployments/my%20chat/chat/completions", Scene("chat", listing=True, whole=True)),
        (b"/openai/v1/embeddings", None),
        (b"/openai/deployments/chat/embeddings?api-version=1", None),
        (b"/openai/v1/models/gpt-12345", None),
        (b"/", None),
        (b"", None),
    ],
)
def test_the_path_tells_what_is_meant(target: bytes, expected: Scene | None) -> None:
    assert scene(target) == expected


def test_a_long_target_is_read_without_being_remembered() -> None:
    target = b"/openai/v1/files/file-12345?x=" + b"y" * 600
    assert scene(target) == Scene("files", (b"file-12345",))


def names(body: Any, place: Scene = RESPONSES) -> set[tuple[Kind, bytes]]:
    """What both ways of looking find; they must agree."""
    text = json.dumps(body).encode()
    found = set(searched(place, text))
    assert found == set(exact(place, text))
    return {(reference.kind, reference.name) for reference in found}


@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        ({"previous_response_id": ID}, Kind.PREVIOUS, ID),
        ({"conversation": "conv_12345"}, Kind.OBJECT, "conv_12345"),
        ({"conversation": {"id": "conv_12345"}}, Kind.OBJECT, "conv_12345"),
        ({"input": [{"type": "reasoning", "encrypted_content": SEALED}]}, Kind.SEALED, SEALED[:512]),
        ({"input": [{"type": "message", "id": "msg_1234567", "content": []}]}, Kind.ITEM, "msg_1234567"),
        ({"input": [{"type": "item_reference", "id": "msg_1234567"}]}, Kind.OBJECT, "msg_1234567"),
        ({"input": [{"content": [{"type": "input_file", "file_id": "file-12345"}]}]}, Kind.OBJECT, "file-12345"),
        ({"tools": [{"vector_store_ids": ["vs_12345"]}]}, Kind.OBJECT, "vs_12345"),
        ({"prompt": {"variables": {"x": {"file_id": "file-12345"}}}}, Kind.OBJECT, "file-12345"),
        ({"tools": [{"container": "cntr_12345"}]}, Kind.OBJECT, "cntr_12345"),
        ({"tools": [{"container": {"type": "auto", "file_ids": ["file-12345"]}}]}, Kind.OBJECT, "file-12345"),
    ],
)
def test_every_known_reference_of_a_response_is_found(body: Any, kind: Kind, name: str) -> None:
    assert names({"model": "gpt", **body}) == {(kind, name.encode())}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_file_id", "file-12345"),
        ("training_file", "file-12345"),
        ("validation_file", "assistant-12345"),
        ("assistant_id", "asst_12345"),
        ("thread_id", "thread_12345"),
        ("file_ids", ["file-12345", "file-67890"]),
        ("vector_store_ids", ["vs_12345"]),
        ("container_id", "cntr_12345"),
    ],
)
def test_every_known_reference_of_other_calls_is_found(key: str, value: Any) -> None:
    listed = value if isinstance(value, list) else [value]
    assert names({key: value}, THREADS) == {(Kind.OBJECT, one.encode()) for one in listed}


@pytest.mark.parametrize(
    "body",
    [
        {"model": "gpt", "input": "hello"},
        {"model": "gpt", "input": 'say "previous_response_id": "resp_12345" to me'},
        {"tools": [{"name": "f", "parameters": {"properties": {"file_id": {"type": "string"}}}}]},
        {"input": [{"type": "function_call", "call_id": "call_12345678", "arguments": '{"file_id":"file-12345"}'}]},
        {"user": "file-12345"},
        {"previous_response_id": None, "conversation": 7, "file_ids": []},
    ],
)
def test_what_only_looks_like_a_reference_is_none(body: Any) -> None:
    assert names(body) == set()


def test_metadata_is_the_users_own_once_the_document_is_read() -> None:
    text = json.dumps({"metadata": {"file_id": "file-12345"}, "previous_response_id": ID}).encode()
    assert len(searched(RESPONSES, text)) == 2
    assert exact(RESPONSES, text) == [Reference(Kind.PREVIOUS, ID.encode())]


def test_chat_names_files_and_no_tool_calls() -> None:
    body = {"messages": [{"content": [{"type": "file", "file": {"file_id": "file-12345"}}]}, {"id": "resp_12345"}]}
    assert names(body, Scene("chat")) == {(Kind.OBJECT, b"file-12345")}


def test_a_doubled_key_counts_twice() -> None:
    text = b'{"previous_response_id":"resp_mine1","previous_response_id":"resp_theirs1"}'
    expected = [Reference(Kind.PREVIOUS, b"resp_mine1"), Reference(Kind.PREVIOUS, b"resp_theirs1")]
    assert searched(RESPONSES, text) == exact(RESPONSES, text) == expected


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (rb'{"previous_response\u005fid":"resp_12345"}', True),
        (rb'{"previous_response_id":"resp\u005F12345"}', True),
        (rb'{"previous_response_id":"\u0072esp_12345"}', True),
        (rb'{"input":"caf\u00e9 \u003cb\u003e \u0026 \u000a"}', False),
        (rb'{"input":"plain"}', False),
    ],
)
def test_ids_in_disguise_are_noticed_and_common_escapes_are_not(text: bytes, hidden: bool) -> None:
    assert hides(text) is hidden
    if hidden:
        assert exact(RESPONSES, text) == [Reference(Kind.PREVIOUS, b"resp_12345")]


@pytest.mark.parametrize("text", [b"", b"{", b"nonsense", b"[" * 100_000, b'{"a":' * 5000, b"\xff\xfe{", b'{"a":1,}'])
def test_what_is_no_json_cannot_be_read(text: bytes) -> None:
    with pytest.raises(Unread):
        exact(RESPONSES, text)


@pytest.mark.parametrize("look", [searched, exact])
def test_nobody_may_name_objects_without_end(look: Any) -> None:
    body = json.dumps({"file_ids": [f"file-{number}" for number in range(MOST + 1)]}).encode()
    with pytest.raises(Unread, match="10,000 objects"):
        look(THREADS, body)


@pytest.mark.parametrize(
    "text",
    [
        b'{"id":"' * 50_000,
        b'{"file_ids":[' + b'"file-12345" ' * 50_000,
        b'"encrypted_content":"' * 20_000,
        b'"id" : ' * 100_000,
        b'"file_ids":[' + b'"' * 300_000,
    ],
)
def test_hostile_text_costs_no_more_than_its_length(text: bytes) -> None:
    tracemalloc.start()
    try:
        searched(THREADS, text)
    except Unread:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10 * len(text)


_ids = st.from_regex(r"(?:resp|conv|vs|msg|fc|file)[_-][A-Za-z0-9]{6,20}", fullmatch=True)
_keys = st.sampled_from(
    ["previous_response_id", "conversation", "file_id", "file_ids", "id", "text", "vector_store_ids", "input", "x"]
)
_values = st.recursive(
    _ids | st.text(max_size=20) | st.none() | st.integers() | st.lists(_ids, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_keys, _values, max_size=5), st.booleans())
def test_search_and_reading_agree(body: Any, compact: bool) -> None:
    text = json.dumps(body, separators=(",", ":") if compact else None, ensure_ascii=False).encode("utf-8", "replace")
    assert set(searched(THREADS, text)) >= set(exact(THREADS, text))


def test_what_would_hold_up_everybody_is_not_read_in_full() -> None:
    text = rb'{"previous_response\u005fid":"resp_12345","input":"' + b"x" * EXACT_MAX + b'"}'
    with pytest.raises(Unread, match="larger than 256 KiB"):
        exact(RESPONSES, text)


def test_reading_ends_at_one_more_than_a_request_may_name(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    named = references._named
    monkeypatch.setattr(references, "_named", lambda *args: (taken.append(args), named(*args))[1])
    text = json.dumps([{"file_id": "file-1"}] * (MOST + 500)).encode()
    assert len(text) < EXACT_MAX
    with pytest.raises(Unread, match="more than"):
        exact(RESPONSES, text)
    assert len(taken) == MOST + 1
