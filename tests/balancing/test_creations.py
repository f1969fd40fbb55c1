"""Which objects a reply tells of, at known places only."""

import json
from typing import Any

import pytest

from lb.balancing.creations import Creation, first, told, unless_named


def found(document: Any) -> dict[str, bool]:
    return {creation.name.decode(): creation.made for creation in told(json.dumps(document).encode())}


def test_a_response_tells_of_itself_its_items_and_what_they_hold() -> None:
    document = {
        "id": "resp_12345",
        "previous_response_id": "resp_00000",
        "conversation": {"id": "conv_12345"},
        "output": [
            {"id": "rs_12345", "type": "reasoning", "encrypted_content": "gAAAA" + "x" * 1000},
            {"id": "ci_12345", "container_id": "cntr_12345"},
            {
                "id": "msg_12345",
                "content": [
                    {"annotations": [{"file_id": "cfile_12345", "container_id": "cntr_12345"}], "text": "the id"}
                ],
            },
        ],
    }
    assert found(document) == {
        "resp_12345": True,
        "conv_12345": False,
        "rs_12345": True,
        "gAAAA" + "x" * 507: True,
        "ci_12345": True,
        "cntr_12345": False,
        "msg_12345": True,
        "cfile_12345": False,
    }


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"id": "batch_12345", "input_file_id": "file-00000", "output_file_id": "file-12345", "error_file_id": None},
            {"batch_12345": True, "file-12345": True},
        ),
        ({"id": "ftjob-12345", "result_files": ["file-12345"]}, {"ftjob-12345": True, "file-12345": True}),
        (
            {"id": "upload_12345", "object": "upload", "file": {"id": "file-12345", "object": "file"}},
            {"upload_12345": True, "file-12345": True},
        ),
        ({"id": "x_12345", "file": {"id": "file-12345"}}, {"x_12345": True, "file-12345": False}),
        ({"id": "x_12345", "container": [{"id": "cntr_12345"}]}, {"x_12345": True, "cntr_12345": False}),
        ({"data": [{"id": "file-12345", "object": "vector_store.file"}]}, {"file-12345": False}),
        ({"id": "x_12345", "object": ["vector_store.file"]}, {"x_12345": True}),
        ({"id": "run_12345", "thread_id": "thread_12345"}, {"run_12345": True, "thread_12345": False}),
        ({"data": [{"id": "step_12345"}, {"id": "step_67890"}]}, {"step_12345": True, "step_67890": True}),
        ({"type": "response.created", "response": {"id": "resp_12345"}}, {"resp_12345": True}),
        ({"type": "response.output_item.done", "item": {"id": "fc_123456"}}, {"fc_123456": True}),
    ],
)  # fmt: skip
def test_other_objects_tell_of_what_was_made_for_them(document: Any, expected: dict[str, bool]) -> None:
    assert found(document) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"metadata": {"id": "resp_12345"}},
        {"tools": [{"parameters": {"id": "resp_12345"}}], "text": {"format": {"schema": {"id": "resp_12345"}}}},
        {"input": [{"id": "msg_12345"}]},
        {"output": [{"content": [{"text": '{"id": "resp_12345"}'}]}]},
        {"id": 7},
        {"id": "a b"},
        {"id": "x" * 300},
        {"id": ""},
        ["resp_12345"],
        "resp_12345",
        None,
    ],
)
def test_what_a_request_could_have_said_makes_nothing(document: Any) -> None:
    assert found(document) == {}


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff", b'{"id": "resp_1', b"data: 1"])
def test_what_is_no_json_tells_nothing(text: bytes) -> None:
    assert told(text) == []


def test_of_a_long_reply_the_beginning_tells_its_own_id() -> None:
    assert first(b'{\n "id": "resp_12345", "output": [') == [Creation(b"resp_12345", True)]
    assert first(b'{"object": "x", "id": "resp_12345"') == []


def test_what_the_request_named_was_not_made_by_it() -> None:
    creations = [Creation(b"file-12345", True), Creation(b"file-67890", True), Creation(b"file-00000", False)]
    assert [made for _, made in unless_named(creations, {b"file-12345"})] == [False, True, False]
