"""Watching a reply's body: content codings, kinds of body, and nothing that goes wrong gets out."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.metering.estimate import Count
from lb.metering.tap import UsageTap, call_of
from lb.metering.usage import UNKNOWN, Usage

BODY = json.dumps({"id": "x" * 300, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}).encode()
STREAM = b'data: {"choices":[{"delta":{"content":" word"}}]}\n\n' * 40
READ = Usage(3, 4, 7)
RAW = zlib.compressobj(wbits=-15)
CODED = {
    b"": BODY,
    b"identity": BODY,
    b"gzip": gzip.compress(BODY),
    b"X-GZip": gzip.compress(BODY[:50]) + gzip.compress(BODY[50:]),
    b"deflate": zlib.compress(BODY),
    b"Deflate ": RAW.compress(BODY) + RAW.flush(),
}


def prompt(count: Count) -> int:
    return count("ten letter")


def tapped(
    body: bytes, *cuts: int, kind: bytes = b"application/json", coding: bytes = b"", keep: bool = False
) -> UsageTap:
    tap = UsageTap(kind, coding, prompt, keep=keep)
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        tap.data(body[start:end])
    return tap


@pytest.mark.parametrize("coding", CODED)
def test_every_coding_is_read_at_every_split(coding: bytes) -> None:
    body = CODED[coding]
    for at in range(len(body) + 1):
        assert tapped(body, at, coding=coding).usage() == READ
    assert tapped(body, *range(1, len(body)), coding=coding).usage() == READ


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, br"])
def test_a_coding_that_is_not_known_makes_the_usage_unknown(coding: bytes) -> None:
    assert tapped(BODY, coding=coding).usage() == UNKNOWN
    assert tapped(STREAM, coding=coding, kind=b"text/event-stream").usage() == UNKNOWN


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
@given(rubbish=st.binary(min_size=3, max_size=60))
def test_a_body_that_is_not_what_its_head_says_is_unknown_and_does_no_harm(coding: bytes, rubbish: bytes) -> None:
    tap = tapped(rubbish, 1, coding=coding)
    assert tap.usage() == UNKNOWN


def test_what_went_wrong_is_kept_to_be_counted() -> None:
    tap = tapped(b"not packed at all", coding=b"gzip")
    assert tap.usage() == UNKNOWN
    assert isinstance(tap.failure, zlib.error)
    tap.data(b"more")
    assert tap.usage() == UNKNOWN


def test_a_packed_stream_that_breaks_is_counted_up_to_there() -> None:
    packed = gzip.compress(STREAM)
    tap = tapped(packed[: len(packed) // 2] + b"\xff" * 50, kind=b"text/event-stream", coding=b"gzip")
    usage = tap.usage()
    assert usage.estimated
    assert usage.completion <= 60


def test_a_small_body_that_unpacks_to_much_is_read_in_small_parts() -> None:
    assert tapped(gzip.compress(b" " * 50_000_000 + BODY), coding=b"gzip").usage() == READ


@pytest.mark.parametrize("kind", [b"application/json; charset=utf-8", b"Application/JSON", b"application/problem+json"])
def test_json_is_known_by_its_type(kind: bytes) -> None:
    assert tapped(BODY, kind=kind).usage() == READ


@pytest.mark.parametrize("kind", [b"audio/mpeg", b"text/plain", b"", b"image/png"])
def test_what_cannot_tell_is_unknown_and_never_zero(kind: bytes) -> None:
    usage = tapped(BODY, kind=kind).usage()
    assert usage.unknown
    assert not usage.estimated


def test_a_json_reply_without_usage_is_unknown() -> None:
    assert tapped(b'{"id":"x"}').usage() == UNKNOWN


def test_a_stream_without_usage_is_estimated_with_its_prompt() -> None:
    usage = tapped(STREAM, kind=b"text/event-stream; charset=utf-8").usage()
    assert usage == Usage(3, usage.completion, 3 + usage.completion, estimated=True)
    assert usage.completion == pytest.approx(40, rel=0.2)


def test_a_stream_of_which_nothing_came_costs_its_prompt() -> None:
    assert tapped(b"", kind=b"text/event-stream").usage() == Usage(3, 0, 3, estimated=True)


def test_a_better_count_may_be_asked_later() -> None:
    tap = tapped(STREAM, kind=b"text/event-stream", keep=True)
    assert tap.usage().estimated
    assert tap.recount(len) == Usage(10, 200, 210, estimated=True)
    assert tapped(BODY).recount(len) == UNKNOWN


def test_a_prompt_that_cannot_be_counted_is_unknown() -> None:
    def wrong(count: Count) -> int:
        raise RuntimeError("a bug")

    tap = UsageTap(b"text/event-stream", b"", wrong)
    assert tap.usage() == UNKNOWN
    assert isinstance(tap.failure, RuntimeError)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/openai/deployments/chat/chat/completions", "chat"),
        (b"/openai/v1/chat/completions", "chat"),
        (b"/models/chat/completions", "chat"),
        (b"/openai/deployments/chat/completions", "completions"),
        (b"/openai/v1/Responses/", "responses"),
        (b"/openai/responses/resp_1/cancel", "other"),
        (b"/openai/deployments/e/embeddings", "embeddings"),
        (b"/openai/deployments/w/audio/transcriptions", "transcriptions"),
        (b"/openai/v1/images/generations", "images"),
        (b"/", "other"),
        (b"/%ff/\xff", "other"),
    ],
)
def test_a_path_tells_the_api_in_one_word(path: bytes, name: str) -> None:
    assert call_of(path) == call_of(path + b"?api-version=1") == name
