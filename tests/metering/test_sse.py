"""The event reader at every split of the bytes, against a naive reading of the whole text."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.metering.sse import Event, EventReader


def naive(text: bytes) -> list[Event]:
    """The standard's rules, applied to the whole at once."""
    lines = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]
    events, name, data = [], "", []
    for line in lines:
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            if data:
                events.append(Event(name, b"\n".join(data)))
            name, data = "", []
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return events


def read(chunks: list[bytes], limit: int = 1 << 20) -> list[Event]:
    reader = EventReader(limit)
    return [event for chunk in chunks for event in reader.feed(chunk)]


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


CHAT = (
    'data: {"choices":[],"prompt_filter_results":[]}\n\n'
    ': keep-alive\n\n'
    'data: {"choices":[{"delta":{"content":"héllo 🐟"}}]}\n\n'
    "event: response.created\nid: 7\nretry: 10\ndata: one\ndata:two\ndata:  three\ndata\n\n"
    "event: lonely\n\n"
    "data:\n\n"
    "dataset: no\nDATA: no\n data: no\n\n"
    "data: [DONE]\n\n"
)  # fmt: skip
ENDINGS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_every_chunk_size_and_line_ending_gives_the_same_events(ending: str, mark: bytes) -> None:
    text = mark + CHAT.replace("\n", ENDINGS[ending]).encode()
    expected = naive(text)
    assert [event.data for event in expected][-3:] == [b"one\ntwo\n three\n", b"", b"[DONE]"]
    for size in range(1, len(text) + 1):
        assert read(cut(text, size)) == expected


def test_every_single_split_of_mixed_line_endings_gives_the_same_events() -> None:
    text = b"data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\r\n\ndata: e\n\rdata: f\r\n\r"
    for at in range(len(text) + 1):
        assert read([text[:at], text[at:]]) == naive(text)


BYTES = st.lists(
    st.sampled_from(
        [b"data", b"event", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"\xef\xbb\xbf", b"\xff", b""]
    ),
    max_size=40,
).map(b"".join)


@given(BYTES, st.lists(st.integers(0, 80), max_size=6).map(sorted))
@settings(max_examples=500)
def test_any_text_at_any_splits_reads_as_the_naive_reader_reads_it(text: bytes, splits: list[int]) -> None:
    bounds = [0, *splits, max([len(text), *splits])]
    assert read([text[a:b] for a, b in pairwise(bounds)]) == naive(text)


@given(BYTES)
def test_an_event_without_its_blank_line_is_told_at_the_end(text: bytes) -> None:
    reader = EventReader(1 << 20)
    told = reader.feed(text) + reader.end()
    ending = b"\r\n" if text.endswith(b"\r") else b"\n"
    assert told == naive(text + ending + b"\n") or told == naive(text + b"\n\n")


def test_an_event_that_never_ends_is_not_collected_for_ever() -> None:
    reader = EventReader(1000)
    for _ in range(17):
        reader.feed(b"data: " + b"x" * 50 + b"\n")
    with pytest.raises(ValueError, match="larger than 1000 bytes"):
        reader.feed(b"data: " + b"x" * 50 + b"\n")
    with pytest.raises(ValueError, match="larger than 1000 bytes"):
        EventReader(1000).feed(b"x" * 1001)


def test_any_number_of_small_events_is_read() -> None:
    assert len(read([b"data: x\n\n" * 100] * 50, limit=100)) == 5000


@pytest.mark.parametrize(
    "text", [b"\r" * 250_000, b"data:\r" * 40_000, b"x" * 250_000], ids=["blank", "lines", "one line"]
)
def test_a_quarter_megabyte_made_to_be_slow_is_read_in_one_pass(text: bytes) -> None:
    started = time.process_time()
    reader = EventReader(1 << 20)
    for chunk in cut(text, 64):
        reader.feed(chunk)
    reader.feed(text)
    assert time.process_time() - started < 2.0
