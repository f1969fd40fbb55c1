"""How far off is the estimate without a tokenizer? The counts beside the texts are o200k's, by bpe-openai 0.1.4."""

import json
from pathlib import Path

import pytest

from lb.metering.estimate import PARSED, prompt_tokens, rough

SAMPLES = json.loads((Path(__file__).parent / "samples.json").read_text(encoding="utf-8"))
WORST = 0.20
MEAN = 0.07


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample["text"] for sample in SAMPLES])
def test_no_kind_of_text_is_off_by_more_than_is_stated(sample: dict[str, str]) -> None:
    assert rough(sample["sample"]) == pytest.approx(int(sample["o200k"]), rel=WORST)


def test_over_all_kinds_the_error_is_as_stated() -> None:
    wrong = sum(abs(rough(sample["sample"]) - sample["o200k"]) for sample in SAMPLES)
    assert wrong / sum(sample["o200k"] for sample in SAMPLES) < MEAN


def test_nothing_is_no_token_and_anything_is_one() -> None:
    assert (rough(""), rough(" "), rough("a"), rough("\ud800")) == (0, 1, 1, 1)


def counted(asked: object) -> int:
    return prompt_tokens(json.dumps(asked).encode(), len)


def test_all_text_of_a_prompt_counts_and_what_stands_around_each_message() -> None:
    assert counted({"messages": [{"role": "user", "content": "abcde"}]}) == 5 + 4 + 3
    parts = [{"type": "text", "text": "abc"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert counted({"messages": [{"role": "user", "content": parts}]}) == 3 + 4 + 3
    assert counted({"input": "abc", "instructions": "de"}) == len("abc\nde")
    assert counted({"prompt": ["abc", "de"]}) == len("abc\nde")


def test_tools_count_as_they_are_written() -> None:
    assert counted({"input": "abc", "tools": [{"a": 1}]}) == 3 + len('[{"a":1}]')


def test_a_large_body_is_estimated_by_its_length_without_its_pictures() -> None:
    picture = "data:image/png;base64," + "A" * 4 * PARSED
    parts = [{"type": "text", "text": "abc"}, {"type": "image_url", "image_url": {"url": picture}}]
    assert counted({"messages": [{"role": "user", "content": parts}]}) == 3 + 4 + 3
    assert counted({"input": "word " * PARSED}) == pytest.approx(5 * PARSED / 4, rel=0.01)


def test_many_pictures_that_are_each_a_small_part_of_a_body_do_not_count_by_their_length_either() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "Ab3/" * 5_000}}
    body = json.dumps({"messages": [{"role": "user", "content": [picture] * 200}]}).encode()
    assert len(body) > 4_000_000
    assert prompt_tokens(body) < 0.15 * len(body) / 4


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[1]", b"null", b'{"messages":7}', b'{"input":null}', b"[" * 100_000]
)
def test_a_body_that_is_no_request_does_no_harm(body: bytes) -> None:
    assert prompt_tokens(body) >= 0
