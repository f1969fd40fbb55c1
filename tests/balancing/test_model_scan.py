"""The model of a body that is looked at while it comes in is the one that is found in it when it is whole."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.balancing.model_field import Ambiguous, Field, find_model
from lb.balancing.model_scan import SLICE, ModelScan, model_scan
from lb.balancing.multipart import find_model_part

Found = Field | str | None
BOUNDARY = b"XyZ"


def outcome(*pieces: bytes, boundary: bytes | None = None) -> Found:
    """What it finds, or with what words it refuses."""
    scan = ModelScan(boundary)
    for piece in pieces:
        scan.feed(piece)
    try:
        return scan.found()
    except Ambiguous as problem:
        return str(problem)


def kept(body: bytes, boundary: bytes | None = None) -> Found:
    """The same of a body in memory."""
    try:
        return find_model(body) if boundary is None else find_model_part(body, boundary)
    except Ambiguous as problem:
        return str(problem)


def part(head: str, content: bytes) -> bytes:
    return b"--XyZ\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), content)


MODEL, FILE = part('name="model"', b"whisper"), part('name="file"; filename="a.wav"', b"RIFF\r\n--XyZz\r\n\x00" * 9)
END = b"--XyZ--\r\n"
JSON = [
    b'{"model":"gpt"}',
    b'{ "model" \n:\t "g\\u0070t" , "x":1}',
    b'{"input":"' + b"x" * 300 + b'","model":"gpt"}',
    b'{"messages":[{"model":"no","content":"\\"model\\":"}],"model":"gpt"}',
    b'{"model":' + b" " * 5000 + b'"gpt"}',
    b'{"model":null}',
    b'{"model":""}',
    b'{"model":["gpt"]}',
    b'{"model":"gpt","model":"other"}',
    b'{"model":"gpt","Model":"other"}',
    b'{"input":"x"}',
]
FORMS = [
    MODEL + FILE + END,
    FILE + MODEL + END,
    FILE + END,
    MODEL + FILE + MODEL + END,
    part('name="model"', b"") + END,
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("body", JSON, ids=range(len(JSON)))
def test_json_however_it_comes(body: bytes, size: int) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert outcome(*pieces) == kept(body)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("body", FORMS, ids=range(len(FORMS)))
def test_a_form_however_it_comes(body: bytes, size: int) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert outcome(*pieces, boundary=BOUNDARY) == kept(body, BOUNDARY)


TOKENS = st.sampled_from(
    [b'"model"', b'"Model"', b'"a"', b":", b",", b"{", b"}", b"[", b"]", b'"gpt"', b'"\\"model\\":"', b" \n", b"1"]
)


@given(st.lists(TOKENS, max_size=14), st.lists(st.integers(0, 90), max_size=4))
@settings(max_examples=500, deadline=None)
def test_whatever_the_object_both_find_the_same(tokens: list[bytes], cuts: list[int]) -> None:
    body = b'{"x":1,' + b"".join(tokens)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(places)]
    found, whole = outcome(*pieces), kept(body)
    # Of what is no JSON the two may believe different things, since no reader behind us takes it.
    assert found == whole or not _is_json(body)


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def test_a_model_far_behind_is_found_with_its_place() -> None:
    body = b'{"input":"' + b"x" * (3 * SLICE) + b'","model":"gpt"}'
    field = outcome(body[:SLICE], body[SLICE:])
    assert isinstance(field, Field)
    assert (field.value, body[field.start : field.end]) == ("gpt", b'"gpt"')


def test_a_name_longer_than_names_are_is_refused_and_not_held() -> None:
    assert outcome(b'{"model":"' + b"x" * 100_000 + b'"}') == (
        "the `model` in the body is not a name that a deployment can have"
    )


@pytest.mark.parametrize(
    ("content_type", "coding", "beginning", "looks"),
    [
        (b"application/json", b"", b' {"a":1', True),
        (b"", b"identity", b"{", True),
        (b"application/json", b"gzip", b"{", False),
        (b"application/octet-stream", b"", b"\x00\x01", False),
        (b"multipart/form-data; boundary=XyZ", b"", b"--XyZ", True),
        (b"multipart/form-data", b"", b"--XyZ", False),
        (b"multipart/form-data; boundary=a; boundary=b", b"", b"--a", False),
    ],
)
def test_only_what_can_name_a_model_is_looked_into(
    content_type: bytes, coding: bytes, beginning: bytes, looks: bool
) -> None:
    assert (model_scan(content_type, coding, beginning) is not None) == looks
