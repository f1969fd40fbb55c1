"""Reading a usage object of any API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.metering.usage import Usage, read_usage


def test_chat_tells_prompt_and_completion_with_what_they_contain() -> None:
    told = {
        "prompt_tokens": 120,
        "completion_tokens": 30,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 12, "audio_tokens": 5, "accepted_prediction_tokens": 0},
    }
    assert read_usage(told) == Usage(120, 30, 150, cached=64, reasoning=12, audio_in=7, audio_out=5)


def test_responses_tell_input_and_output() -> None:
    told = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 14,
    }
    assert read_usage(told) == Usage(9, 5, 14, cached=4, reasoning=2)


def test_embeddings_have_no_completion() -> None:
    assert read_usage({"prompt_tokens": 8, "total_tokens": 8}) == Usage(8, 0, 8)


def test_a_transcription_tells_tokens_or_its_length() -> None:
    told = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": 45,
        "total_tokens": 59,
    }
    assert read_usage(told) == Usage(14, 45, 59, audio_in=14)
    assert read_usage({"type": "duration", "seconds": 9.5}) == Usage(audio_seconds=9.5)


def test_a_total_that_is_not_told_is_the_sum() -> None:
    assert read_usage({"prompt_tokens": 3, "completion_tokens": 4}) == Usage(3, 4, 7)


def test_a_total_that_differs_from_the_sum_is_left_as_it_was_told() -> None:
    assert read_usage({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}) == Usage(3, 4, 9)


def test_details_that_are_null_are_nothing() -> None:
    told = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}
    assert read_usage(told) == Usage(3, 4, 7)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        [],
        "12",
        {"prompt_tokens": None},
        {"prompt_tokens": "12", "completion_tokens": 3},
        {"prompt_tokens": -1, "completion_tokens": 3},
        {"prompt_tokens": True, "completion_tokens": 3},
        {"prompt_tokens": 1.5},
        {"prompt_tokens": 10**30},
        {"prompt_tokens": float("nan")},
        {"prompt_tokens": float("inf")},
        {"prompt_tokens": 1, "prompt_tokens_details": "cached"},
        {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": "some"}},
        {"type": "duration", "seconds": "9"},
        {"type": "duration", "seconds": -1},
        {"something_else": 3},
    ],
)
def test_what_cannot_be_a_usage_is_none_and_never_zero(told: object) -> None:
    assert read_usage(told) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["prompt_tokens", "output_tokens", "total_tokens", "prompt_tokens_details", "type", "seconds"])


@given(st.dictionaries(NAMES, JSON))
def test_nothing_that_is_told_raises_or_makes_a_negative_count(told: dict[str, object]) -> None:
    usage = read_usage(told)
    assert usage is None or min(usage.prompt, usage.completion, usage.total, usage.audio_seconds) >= 0


def test_messages_tell_what_was_cached_beside_what_was_read() -> None:
    told = {
        "input_tokens": 20,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 100,
        "output_tokens": 7,
        "service_tier": "standard",
    }
    assert read_usage(told) == Usage(125, 7, 132, cached=100)
    assert read_usage({**told, "cache_read_input_tokens": None}) == Usage(25, 7, 32)
    assert read_usage({**told, "cache_read_input_tokens": "many"}) is None
