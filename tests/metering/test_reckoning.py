"""What a request may cost, told from its bytes."""

import json

import pytest

from lb.metering.budget import Estimate
from lb.metering.reckoning import ANSWER, MOST, reckon


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_four_bytes_of_prompt_are_a_token() -> None:
    assert reckon(b"x" * 400, answers=False) == Estimate(100, 0)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_answer_is_reckoned_by_the_limit_that_the_request_names(name: str) -> None:
    assert reckon(body(**{name: 1234})).answer == 1234
    assert reckon(json.dumps({name: 1234}, separators=(",", ":")).encode()).answer == 1234


def test_an_answer_without_a_limit_is_reckoned_by_a_usual_one() -> None:
    assert reckon(body(model="chat")).answer == ANSWER
    assert reckon(body(max_tokens=None)).answer == ANSWER


def test_of_two_limits_the_larger_counts_so_that_none_can_be_hidden() -> None:
    assert reckon(body(max_tokens=7, x={"max_tokens": 9})).answer == 9
    assert reckon(b'{"max_tokens":1,"max_tokens":500}').answer == 500


@pytest.mark.parametrize("name", ["n", "best_of"])
def test_several_answers_cost_several_times_as_much(name: str) -> None:
    assert reckon(body(max_tokens=100, **{name: 3})).answer == 300


def test_what_is_written_within_the_prompt_is_no_limit() -> None:
    assert reckon(body(messages=[{"content": '"max_tokens": 99999'}])).answer == ANSWER


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}},
        {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 100_000}},
    ],
)
def test_pictures_sound_and_files_do_not_count_by_their_length(part: dict[str, object]) -> None:
    assert reckon(body(messages=[{"role": "user", "content": [part]}])).prompt < 60
    cut = body(messages=[{"role": "user", "content": [part]}])[:50_000]
    assert reckon(cut).prompt < 60


@pytest.mark.parametrize("megabytes", [0.05, 0.5, 5])
def test_of_a_large_body_with_a_picture_the_text_counts(megabytes: float) -> None:
    parts = [{"type": "text", "text": "the harbour master "} for _ in range(100)]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "Ab3/" * int(megabytes * 250_000)}}
    text = reckon(body(messages=[{"content": parts}])).prompt
    assert reckon(body(messages=[{"content": [*parts[:50], picture, *parts[50:]]}])).prompt == pytest.approx(text, 0.1)


def test_a_large_text_is_text_in_every_script() -> None:
    for text in ("The harbour master. ", "港务长有两本账。", "Il était une fois, "):
        large = body(messages=[{"content": text * 20_000}])
        assert reckon(large).prompt == len(large) // 4


def test_a_form_is_not_looked_into() -> None:
    assert reckon(b"A" * 100_000, plain=False) == Estimate(0, ANSWER)


def test_of_a_large_body_the_whole_length_counts() -> None:
    assert reckon(b"x" * 1000, length=4_000_000).prompt == 1_000_000


def test_nonsense_is_bounded() -> None:
    assert reckon(body(max_tokens=999_999_999, n=9999)).answer == MOST


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_long_body_both_ends_are_looked_at(order: int) -> None:
    fields = [("messages", [{"content": "hello " * 100_000}]), ("max_tokens", 1234)]
    assert reckon(body(**dict(fields[::order]))).answer == 1234
