"""Asking for usage in a client's place: what is added, and that every other byte stays."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.stream_options import MOST, with_usage

MESSAGES = [{"role": "user", "content": 'say "stream": true, "stream_options": {"include_usage": false} and é'}]
ASKED = {"include_usage": True}


@pytest.mark.parametrize("separators", [None, (",", ":")])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_stream_is_asked_for_its_usage_and_nothing_else_changes(separators: Any, indent: int | None) -> None:
    body = {"model": "chat", "stream": True, "messages": MESSAGES, "n": 1.50}
    text = json.dumps(body, separators=separators, indent=indent).encode()
    changed = with_usage(text)
    assert changed is not None
    assert json.loads(changed) == {**body, "stream_options": ASKED}
    assert changed.replace(b',"stream_options":{"include_usage":true}', b"", 1) == text


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ("{}", '{"include_usage":true}'),
        (' { "include_obfuscation" : false }', ' {"include_usage":true, "include_obfuscation" : false }'),
        ('{"include_usage": false, "x": 1}', '{"include_usage": true, "x": 1}'),
        ('{"include_usage":null}', '{"include_usage":true}'),
        ("null", '{"include_usage":true}'),
    ],
)
def test_options_that_are_there_are_kept(options: str, wanted: str) -> None:
    text = '{"stream_options":%s,"messages":[{"stream":{}}],"stream" : true }'
    assert with_usage((text % options).encode()) == (text % wanted).encode()


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":false,"messages":[]}',
        b'{"messages":[]}',
        b'{"stream":"true"}',
        b'{"messages":[{"stream":true}]}',
        b'{"stream":true,"stream_options":{"include_usage":true}}',
        b'{"stream":true,"stream_options":{"include_usage": true ,"x":1}}',
        b'{"stream":true,"stream_options":[]}',
        b'{"stream":true,"stream_options":"include_usage"}',
        b'{"stream":true,"stream":true}',
        b'{"stream":true,"stream_options":{},"stream_options":{}}',
        b'{"stream":true,"stream_options":{"include_usage":false,"include_usage":false}}',
        b'{"stream":true,"stream_options":{',
        b"",
        b"[]",
        b'"stream":true',
        b'{"stream":true,' + b'"a":{"stream":true},' * MOST + b'"b":1}',
    ],
)
def test_who_asks_already_or_wants_no_stream_or_is_unclear_is_left_alone(body: bytes) -> None:
    assert with_usage(body) is None


def test_a_mention_within_a_text_or_a_tool_is_none() -> None:
    tool = {"parameters": {"properties": {"stream_options": {"type": "object"}, "stream": {"type": "boolean"}}}}
    body = {"tools": [tool], "messages": MESSAGES, "stream": True, "metadata": {"stream_options": "x"}}
    changed = with_usage(json.dumps(body).encode())
    assert changed is not None
    assert json.loads(changed) == {**body, "stream_options": ASKED}


NAMES = st.sampled_from(["stream", "stream_options", "include_usage", "messages", '"stream":true', "a"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='"\\{}[]:,stream_options é', max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(NAMES, JSON, max_size=5), st.booleans(), st.sampled_from([None, 1]), st.booleans())
def test_for_any_request_the_meaning_is_the_same_but_for_the_usage(
    body: dict[str, Any], streams: bool, indent: int | None, ascii_only: bool
) -> None:
    asked = {**body, **({"stream": True} if streams else {})}
    changed = with_usage(json.dumps(asked, indent=indent, ensure_ascii=ascii_only).encode())
    if changed is None:
        options = asked.get("stream_options", {})
        refused = asked.get("stream") is not True or not (options is None or isinstance(options, dict))
        assert refused or (options or {}).get("include_usage") not in (None, False)
        return
    assert asked["stream"] is True
    told = json.loads(changed)
    assert told == {**asked, "stream_options": {**(asked.get("stream_options") or {}), "include_usage": True}}


@given(st.binary(max_size=80))
def test_what_is_no_request_does_no_harm(rubbish: bytes) -> None:
    with_usage(b'{"stream":true,"stream_options":' + rubbish)
    with_usage(rubbish + b'"stream":true}')
