"""The usage of replies that come whole, found in passing."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.metering.replies import BodyReader, Mute
from lb.metering.tail import HELD
from lb.metering.usage import Usage

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
READ = Usage(3, 4, 7)


def read(body: bytes, *cuts: int) -> Usage | None:
    reader = BodyReader()
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        reader.feed(body[start:end])
    return reader.reported()


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("indent", [None, 2])
def test_usage_is_found_wherever_it_stands(indent: int | None) -> None:
    for members in (
        {"usage": USAGE, "id": "x", "choices": [{"message": {"content": "hi"}}]},
        {"id": "x", "usage": USAGE, "choices": []},
        {"id": "x", "choices": [], "usage": USAGE},
    ):
        assert read(json.dumps(members, indent=indent).encode()) == READ


def test_every_split_gives_the_same() -> None:
    body = dumped({"id": "x", "usage": USAGE, "text": 'he said "usage": {} and } left'})
    for at in range(len(body) + 1):
        assert read(body, at) == READ
    assert read(body, *range(1, len(body))) == READ


TEXT = st.text(alphabet='"\\{}[]:,usage \né', max_size=20) | st.sampled_from(
    ['"usage"', 'usage":', '\\"usage"', "usage"]
)
JSON = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(TEXT, JSON, max_size=4), st.integers(0, 4), st.sets(st.integers(1, 80)), st.booleans())
def test_only_the_usage_of_the_outermost_object_counts(
    members: dict[str, Any], place: int, cuts: set[int], told: bool
) -> None:
    decoy = {"usage": {"prompt_tokens": 999}, "deeper": [{"usage": {"prompt_tokens": 998}}]}
    items = [(key, [value, decoy]) for key, value in members.items() if key != "usage"]
    if told:
        items.insert(place, ("usage", USAGE))
    body = dumped(dict(items))
    assert read(body, *sorted(cut for cut in cuts if cut < len(body))) == (READ if told else None)


def test_a_name_that_was_cut_in_two_is_not_missed_for_one_behind_it() -> None:
    body = dumped({"usage": USAGE, "deeper": [{"usage": {"prompt_tokens": 999}}]})
    for at in range(1, len(body)):
        assert read(body, at) == READ


def test_a_tool_whose_schema_has_a_property_of_that_name_does_not_confuse() -> None:
    schema = {"properties": {"usage": {"type": "object", "prompt_tokens": 5}}}
    assert read(dumped({"usage": USAGE, "tools": [{"parameters": schema}]})) == READ
    assert read(dumped({"tools": [{"parameters": schema}]})) is None


@pytest.mark.parametrize("told", [b"null", b'"much"', b"[]", b"{}", b'{"prompt_tokens":"3"}', b"17"])
def test_a_usage_that_is_null_or_nonsense_is_none(told: bytes) -> None:
    assert read(b'{"choices":[],"usage":' + told + b"}") is None


@pytest.mark.parametrize("body", [b"", b"{", b"not json", b'{"usage"', b'{"usage":', b'{"usage":{', b"\xff\xfe\x00"])
def test_what_is_no_json_is_none(body: bytes) -> None:
    assert read(body) is None


def test_a_body_that_was_cut_is_none_even_behind_its_usage() -> None:
    body = dumped({"usage": USAGE, "choices": []})
    assert all(read(body[:at]) is None for at in range(len(body)))


def test_the_last_of_two_counts_as_for_json_parsers() -> None:
    assert read(b'{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}') == Usage(2, 0, 2)


def test_a_large_body_passes_without_being_held() -> None:
    piece = b'{"object":"embedding","embedding":"' + b"A" * 8000 + b'","usage":{"prompt_tokens":666}},'
    reader = BodyReader()
    tracemalloc.start()
    reader.feed(b'{"data":[')
    for _ in range(1000):
        reader.feed(piece)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.feed(b'{}],"usage":' + dumped(USAGE) + b"}")
    assert reader.reported() == READ
    assert most < 8 * HELD


def test_usage_far_before_the_end_is_not_found_rather_than_held() -> None:
    assert read(dumped({"usage": USAGE, "rest": "x" * 2 * HELD})) is None


def test_what_cannot_tell_tells_nothing() -> None:
    mute = Mute()
    mute.feed(b'{"usage":{"prompt_tokens":1}}')
    assert (mute.reported(), mute.counted(), mute.counted(len)) == (None, None, None)
