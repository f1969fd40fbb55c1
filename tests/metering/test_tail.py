"""The usage in what is held of a text: the right one, at a cost that no text can drive up."""

import json

import pytest

from lb.metering import tail
from lb.metering.frames import SessionReader
from lb.metering.tail import HELD, TRIED, Tail
from lb.metering.usage import Usage

ONE = '{"usage":{"total_tokens":1}}'
COUNT = (HELD - 100) // (len(ONE) + 1)
HOSTILE = {
    "too deep, one beside the other": '{"a":[[' + ",".join([ONE] * COUNT) + "]]}",
    "one in the other": '{"usage":' * 7000 + "{}" + "}" * 7000,
    "no JSON": '{"a":1,' + '"usage":{x},' * 5000 + '"b":2}',
    "never closed": ",".join(['{"usage":{"total_tokens":1}'] * COUNT),
    "a string that does not end": '{"usage":{},"a":"' + '\\"' * 30_000,
}


def held(text: str) -> Tail:
    reader = Tail()
    reader.feed(text.encode())
    return reader


class Counting:
    """A decoder that adds up how much it is given to read."""

    def __init__(self) -> None:
        self.read = 0
        self._decoder = json.JSONDecoder()

    def raw_decode(self, text: str, at: int) -> tuple[object, int]:
        self.read += len(text) - at
        return self._decoder.raw_decode(text, at)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_decoded_a_few_times_at_most(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Counting()
    monkeypatch.setattr(tail, "_DECODER", decoder)
    assert held(text).usage(2) is None
    assert decoder.read <= TRIED * HELD


def test_a_string_that_does_not_end_is_passed_at_once() -> None:
    text = '"' + '\\"' * 30_000
    assert [found.span() for found in tail._STRUCTURE.finditer(text)] == [(0, len(text))]


def test_the_one_that_counts_is_found_before_many_that_do_not() -> None:
    text = '{"usage":{"total_tokens":7},"a":[' + ",".join([ONE] * 2000) + "]}"
    assert held(text).usage(1) == Usage(total=7)


def test_so_it_is_in_a_session() -> None:
    payload = ('{"type":"response.done","usage":{"total_tokens":7},"a":[[' + ",".join([ONE] * 2000) + "]]}").encode()
    frame = b"\x81\x7e" + len(payload).to_bytes(2) + payload
    assert SessionReader().feed(frame) == [Usage(total=7)]
