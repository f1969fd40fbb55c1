"""The model of a JSON body is found where a JSON parser finds it, or the body is refused; never anything else."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.balancing.model_field import Ambiguous, find_model

NAMES = st.sampled_from(
    ["model", "Model", "models", "mo", "a", "messages", "input", '"model"', "model\\", "\\", "é", ""]
)
TEXTS = st.sampled_from(
    ['"model":', '{"model":"x"}', '\\"model\\": 1', "}", "{", "[", "\\", "\\\\", '"', "model", "\u2028", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
SPACE = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])


Pairs = list[tuple[str, Any]]


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, Pairs]:
    """An object as some client might write it, with its pairs in order, duplicates included."""
    chosen, space, ascii_only = draw(PAIRS), draw(SPACE), draw(st.booleans())
    indent = draw(st.sampled_from([None, None, 0, 2]))

    def dump(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    inner = f"{space},{space}".join(f"{dump(name)}{space}:{space}{dump(value)}" for name, value in chosen)
    return f"{space}{{{space}{inner}{space}}}{space}".encode("utf-8", "surrogatepass"), chosen


@given(written())
@settings(max_examples=600)
def test_a_json_parser_is_of_the_same_opinion(document: tuple[bytes, Pairs]) -> None:
    body, pairs = document
    models = [value for name, value in pairs if name == "model"]
    if len(models) > 1 or any(name == "Model" for name, _ in pairs):
        with pytest.raises(Ambiguous):
            find_model(body)
        return
    field = find_model(body)
    if not models or not isinstance(models[0], str):
        assert field is None
    else:
        assert field is not None
        assert field.value == models[0]
        assert json.loads(body[field.start : field.end]) == models[0]


@given(written(), st.text(max_size=10))
@settings(max_examples=300)
def test_a_rewritten_body_says_the_new_name_and_nothing_else_changes(document: tuple[bytes, Pairs], name: str) -> None:
    body, pairs = document
    try:
        field = find_model(body)
    except Ambiguous:
        return
    if field is not None:
        changed = body[: field.start] + json.dumps(name).encode() + body[field.end :]
        expected = [(key, name if key == "model" else value) for key, value in pairs]
        assert json.loads(changed, object_pairs_hook=list) == _pairs(expected)


def _pairs(pairs: Pairs) -> Pairs:
    return [(key, json.loads(json.dumps(value), object_pairs_hook=list)) for key, value in pairs]


@given(written(), st.integers(0, 300))
@settings(max_examples=300)
def test_what_is_found_in_the_beginning_of_a_body_is_what_is_found_in_the_whole(
    document: tuple[bytes, Pairs], length: int
) -> None:
    body, pairs = document
    try:
        field = find_model(body[:length], whole=False)
    except Ambiguous:
        names = [name for name, _ in pairs]
        assert names.count("model") > 1 or "Model" in names
        return
    if field is not None:
        first = next(value for name, value in pairs if name == "model")
        assert field.value == first
        assert json.loads(body[field.start : field.end]) == first


@given(st.binary(max_size=60) | st.text('{}[]":,\\model u006d\n', max_size=60).map(str.encode), st.booleans())
@settings(max_examples=500)
def test_no_bytes_whatever_break_it(body: bytes, whole: bool) -> None:
    with contextlib.suppress(Ambiguous):
        find_model(body, whole=whole)


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model":"a","model":"b"}',
        rb'{"model":"a","x":{"model":"b"},"model":"a"}',
        rb'{"model":1,"model":"b"}',
        rb'{"model":null,"messages":[],"model":"b"}',
        rb'{"model":"a"}{"model":"b"}',
        rb'{"\u006dodel":"a"}',
        rb'{"model":"a","mod\u0065l":"b"}',
        rb'{"mod\u0065l":"b","model":"a"}',
        rb'{"m\u006F\u0064\u0065\u006C":"b"}',
        rb'{"messages":[{"model":"x"}],"\u006dodel":"b"}',
        rb'{"model":"a","Model":"b"}',
        rb'{"MODEL":"a","model":"b"}',
        rb'{"messages":[{"model":"x"}],"modeL":"b"}',
        rb'{"Model":"a"}',
        rb'{"\u004dodel":"a"}',
    ],
)
def test_a_model_key_that_two_readers_may_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(Ambiguous):
        find_model(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'{"model":"gpt"}', "gpt"),
        (rb'{"model" : "gpt"}', "gpt"),
        (b'{"model"\r\n\t:\n"gpt"}', "gpt"),
        (rb'{"model":"g\u0070t"}', "gpt"),
        (rb'{"messages":[{"content":"\"model\":\"no\""}],"model":"gpt"}', "gpt"),
        (rb'{"messages":[{"content":"\u0041 {[\"model\": "}],"model":"gpt"}', "gpt"),
        (rb'{"tools":[{"function":{"model":"no"}}],"model":"gpt","x":{"model":"no"}}', "gpt"),
        (rb'{"messages":"model","model":"gpt"}', "gpt"),
        (rb'{"x":"\\","model":"gpt"}', "gpt"),
        (b'\xef\xbb\xbf{"model":"gpt"}', "gpt"),
        (rb'{"model":""}', ""),
        (rb'{"model":null}', None),
        (rb'{"model":["gpt"]}', None),
        (rb'{"model":{"model":"gpt"}}', None),
        (rb'{"input":{"model":"gpt"}}', None),
        (rb'{"input":{"Model":"no"},"model":"gpt"}', "gpt"),
        (rb'{"x":"\"Model\":","model":"gpt"}', "gpt"),
        (rb'["model"]', None),
        (rb'"model"', None),
        (b"", None),
        (b"model=gpt", None),
        (b'{"model"', None),
        (b'{"model":', None),
        (b'{"model":"gp', None),
    ],
)
def test_the_model_is_the_string_of_the_objects_own_key(body: bytes, value: str | None) -> None:
    field = find_model(body)
    assert (None if field is None else field.value) == value


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"x","model":"y","z":"' + b'\\"' * 500_000,
        b'{"z":{"model":1},"a":"' + b'\\"' * 500_000 + b'","b":"' + b'\\"' * 500_000,
        b'{"\\u0061":"' + b"\\\\" * 500_000 + b'\\"' * 500_000,
        b'{"a":' + b'"model":' * 200_000,
        b'{"a":' + b"[" * 1_000_000 + b'"model":1',
        b'{"model":"' + b"\\a" * 500_000,
        b"{" + b'"' * 1_000_000,
        b" " * 1_000_000 + b"{" + b"\\" * 1_000_000 + b'"model":',
    ],
)
def test_a_megabyte_made_to_be_slow_is_read_in_one_pass(body: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(Ambiguous):
        find_model(body)
    assert time.process_time() - started < 2.0, "seconds for one megabyte: every other request would wait"


MEGA = 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' + b"[" * 8 * MEGA + b',"model":"x"' + b"]" * 8 * MEGA + b"}",
        b'{"a":[' + b"[]," * 5 * MEGA + b'0],"model":"x"}',
        b'{"a":[' + b'"",' * 5 * MEGA + b'0],"model":"x","b":"\\u0041"}',
        b'{"a":"\\u0041","b":[' + b"{}," * 5 * MEGA + b'0],"model":"x"}',
        b'{"a":{' + b'"model":1,' * (3 * MEGA // 2) + b'"b":0},"model":"x"}',
        b'{"a":[' + b'"model",' * 2 * MEGA + b'0],"model":"x"}',
        b'{"a":{' + b'"\\u0041":1,' * MEGA + b'"b":0},"model":"x"}',
    ],
    ids=["deep", "flat", "strings", "objects", "nested models", "model as a value", "escaped keys"],
)
def test_a_body_of_16_megabytes_holds_nobody_up_for_long(body: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(Ambiguous):
        find_model(body)
    assert time.process_time() - started < 2.0, "seconds; a loop over its tokens took 4"
