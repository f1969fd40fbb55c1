"""A second top-level `model` is seen as the bytes pass, wherever they are cut; anything else passes."""

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lb.balancing.json_scan import JsonScan
from lb.balancing.model_field import Ambiguous, find_model

PLAIN = '"model"'
MODELS = [PLAIN, r'"mod\u0065l"', r'"\u006D\u006f\u0064\u0065\u006c"', '"Model"', '"mODEL"', r'"\u004D\u004Fdel"']
KEYS = st.sampled_from(
    [*MODELS, PLAIN, '"a"', '"models"', '"mode"', '""', r'"\"model\""', r'"model\\"', r'"\\u006dodel"']
)
TEXTS = st.sampled_from(['"model":', '{"model":"x"}', "}", "{", "[", "\\", '"', "model", "x" * 40, "x\\" * 20, ""])
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "a"]) | TEXTS, inner),
    max_leaves=8,
)
SPACE = st.sampled_from(["", " ", "\n\t", "\r\n" * 20])


def refused(*pieces: bytes) -> str | None:
    """With what words, if at all."""
    scan = JsonScan()
    try:
        for piece in pieces:
            scan.feed(piece)
    except Ambiguous as problem:
        return str(problem)
    return None


def single(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """An object as some client might write it, and its keys as they stand there."""
    pairs, space, ascii_only = draw(st.lists(st.tuples(KEYS, VALUES), max_size=5)), draw(SPACE), draw(st.booleans())
    inner = f"{space},{space}".join(
        f"{key}{space}:{space}{json.dumps(value, ensure_ascii=ascii_only)}" for key, value in pairs
    )
    return f"{space}{{{space}{inner}{space}}}".encode("utf-8", "surrogatepass"), [key for key, _ in pairs]


@given(written())
@settings(max_examples=300, deadline=None)
def test_it_is_of_a_json_parsers_opinion_at_every_cut(document: tuple[bytes, list[str]]) -> None:
    body, keys = document
    names = [name for name, _ in json.loads(body, object_pairs_hook=list)]
    wanted = names.count("model") > 1 or any(key in MODELS[1:] for key in keys)
    whole = refused(body)
    assert (whole is not None) is wanted
    assert refused(*single(body)) == whole
    for cut in range(1, len(body)):
        assert refused(body[:cut], body[cut:]) == whole


@given(st.text('{}[]":,\\model u006d\n', max_size=60).map(lambda text: ("{" + text).encode()), st.data())
@example(b'{"model":1,"\\', None)
@settings(max_examples=1000, deadline=None)
def test_whatever_the_bytes_it_says_what_is_said_of_a_body_that_is_kept(
    body: bytes, data: st.DataObject | None
) -> None:
    try:
        find_model(body)
        kept = None
    except Ambiguous as problem:
        kept = str(problem)
    assert refused(body) == kept
    assert refused(*single(body)) == kept


@pytest.mark.parametrize("second", MODELS)
def test_it_is_told_before_a_byte_of_the_second_value_was_fed(second: str) -> None:
    body = b'{"model":"chat","messages":[{"model":"no"}],' + second.encode() + b' : "secret"}'
    assert refused(*single(body[: body.index(b'"secret')])) is not None
    assert refused(*single(body[: body.index(b': "secret')])) is None


def test_what_is_carried_from_piece_to_piece_stays_small() -> None:
    scan = JsonScan()
    scan.feed(b'{"model":"x","a":"')
    for piece in (b"x" * 1_000_000, b"\\", b'"' + b"y" * 100, b"\\u006dodel", b'":', b'"', b"model"):
        scan.feed(piece)
        assert len(scan._carry) < 32


@pytest.mark.parametrize(
    "inner",
    [b'"' + b'\\"' * 3_000_000, b"[" * 3_000_000, b'["",' + b'"",' * 1_000_000, b'{"b":' + b'"model":' * 1_000_000],
)
def test_megabytes_made_to_be_slow_are_read_in_one_pass(inner: bytes) -> None:
    body = b'{"model":"x","a":' + inner
    started = time.process_time()
    refused(*[body[at : at + 65536] for at in range(0, len(body), 65536)])
    assert time.process_time() - started < 2.0, "seconds"


def test_countless_keys_that_may_be_the_model_are_refused() -> None:
    assert "too many" in (refused(b'{"model":"x","a":[' + b'{"model":1},' * 20_000) or "")
