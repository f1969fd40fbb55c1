"""A record is one line of JSON, never longer than it may be, whatever was said."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.audit.bounds import TooLarge, line_of

texts = st.text(max_size=400) | st.sampled_from(["\n" * 300, "\x00" * 300, "ä" * 300, "\U0001f600" * 200, '"\\' * 200])
turns = st.lists(
    st.fixed_dictionaries(
        {"role": texts, "content": texts},
        optional={"tool_calls": st.lists(st.fixed_dictionaries({"arguments": texts}), max_size=3)},
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(prompt=turns, response=turns, field=st.integers(64, 500), record=st.integers(1024, 5000))
def test_it_never_takes_more_than_it_may(prompt: Any, response: Any, field: int, record: int) -> None:
    line = line_of({"request_id": "r-1", "prompt": prompt, "response": response}, field, record)
    assert len(line) <= record
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    told = json.loads(line)
    assert told.get("truncated", False) == (
        told.get("prompt") != clean(prompt) or told.get("response") != clean(response)
    )


def clean(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value).encode("utf-8", "replace"))


def test_what_fits_is_kept_as_it_is() -> None:
    prompt = [{"role": "user", "content": "Grüße\n\x1b[31m"}]
    told = json.loads(line_of({"prompt": prompt, "response": []}, 64, 1024))
    assert told == {"prompt": prompt, "response": []}


def test_a_field_that_is_cut_says_how_much_is_missing() -> None:
    told = json.loads(line_of({"prompt": [{"role": "user", "content": "x" * 1000}]}, 100, 5000))
    assert told["prompt"][0]["content"] == "x" * 100 + "...[900 more]"
    assert told["truncated"] is True


def test_the_answer_and_the_last_turns_come_first_when_room_is_short() -> None:
    prompt = [{"role": "user", "content": f"turn {number} " + "x" * 200} for number in range(50)]
    told = json.loads(line_of({"prompt": prompt, "response": [{"content": "The answer"}]}, 1000, 2048))
    assert told["response"] == [{"content": "The answer"}]
    assert told["prompt"][-1] == prompt[-1]
    assert 0 < len(told["prompt"]) < 10


def test_facts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TooLarge):
        line_of({"path": "x" * 5000, "prompt": []}, 1000, 4096)


def test_nothing_in_it_can_steer_a_terminal_or_end_a_line() -> None:
    said = "a\x1b[2J\x9b2J\u2028b\x7f\r\nc\ud800"
    line = line_of({"prompt": [{"role": "user", "content": said}]}, 1000, 4096)
    text = line.decode()
    assert all(character.isprintable() for character in text[:-1])
    assert json.loads(line)["prompt"][0]["content"] == said.replace("\ud800", "?")
