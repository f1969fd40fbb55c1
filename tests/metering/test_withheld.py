"""The stream without the chunk that only carries the usage: that chunk gone, every other byte there, at any split."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.metering.withheld import HELD, Withheld

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
FRAME = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.4-mini"}


def event(value: object, *, spaced: bool = True) -> bytes:
    return b"data: " + json.dumps(value, separators=None if spaced else (",", ":")).encode() + b"\n\n"


def said(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}}], **FRAME, "usage": None})


FILTERS = event({"choices": [], "prompt_filter_results": [], **FRAME, "usage": None})
TOLD = event({"choices": [], **FRAME, "usage": USAGE}, spaced=False)
DONE = b"data: [DONE]\n\n"
BEFORE = FILTERS + said("Hello") + said('"usage": {"choices": []}') + b": a comment\n\n" + said("\n\n")
ENDS = [b"\n", b"\r\n", b"\r"]


def passed(body: bytes, *cuts: int) -> bytes:
    reader = Withheld()
    pieces = [body[start:end] for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True)]
    return b"".join(map(reader.feed, pieces)) + reader.end()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("told", [TOLD, b"event: x\nid: 7\n" + TOLD, b": first\n" + TOLD.replace(b": {", b":{")])
def test_every_split_gives_the_stream_without_that_chunk(told: bytes, end: bytes) -> None:
    body = (BEFORE + told + DONE).replace(b"\n", end)
    wanted = (BEFORE + DONE).replace(b"\n", end)
    for at in range(len(body) + 1):
        assert passed(body, at) == wanted
    assert passed(body, *range(1, len(body))) == wanted


LINES = st.sampled_from([b"data: x", b"data: [DONE]", b": c", b"event: e", b"data:", said("a")[:-2], FILTERS[:-2], b""])
EVENTS = st.lists(st.tuples(st.lists(LINES, max_size=3), st.sampled_from(ENDS)), max_size=8)


@given(EVENTS, st.integers(0, 8), st.sampled_from(ENDS), st.lists(st.integers(0, 2000), max_size=12))
def test_any_stream_in_any_pieces_loses_that_chunk_and_nothing_else(
    events: list[tuple[list[bytes], bytes]], place: int, end: bytes, cuts: list[int]
) -> None:
    """With every mixture of line ends, lines that mean nothing, and empty events."""
    written = [b"".join(line + with_end for line in [*lines, b""]) for lines, with_end in events]
    before, behind = b"".join(written[:place]), b"".join(written[place:])
    if behind.startswith(b"\n") or (before and not before.endswith(b"".join([end, end]))):
        before, behind = b"data: y" + end + end, b"data: z\n\n"  # else the chunk would be a part of its neighbour
    body = before + TOLD.replace(b"\n", end) + behind
    assert passed(body, *sorted(cut for cut in cuts if cut < len(body))) == before + behind


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_what_is_no_such_stream_passes_byte_for_byte(rubbish: bytes, cuts: list[int]) -> None:
    assert passed(rubbish, *sorted(cut for cut in cuts if cut < len(rubbish))) == rubbish


@pytest.mark.parametrize(
    "kept",
    [
        event({"choices": [], **FRAME, "usage": None}),
        event({"choices": [{"index": 0, "delta": {}}], **FRAME, "usage": USAGE}),
        event({"type": "response.completed", "response": {"choices": [], "usage": USAGE}}),
        b'data: {"choices":[],"usage":{"prompt_tokens":3}\n\n',
        b'data: [{"choices":[],"usage":{}}]\n\n',
    ],
)
def test_what_only_looks_like_it_stays(kept: bytes) -> None:
    assert passed(BEFORE + kept + DONE) == BEFORE + kept + DONE


def test_a_last_chunk_without_its_blank_line_is_taken_out_too() -> None:
    assert passed(BEFORE + TOLD.rstrip(b"\n")) == BEFORE


def test_whole_events_are_let_go_at_once() -> None:
    reader = Withheld()
    for piece in (FILTERS, said("a"), said("b") + said("c")):
        assert reader.feed(piece) == piece
    assert reader.feed(said("d")[:20]) == b""
    assert reader.feed(said("d")[20:]) == said("d")


def test_an_event_too_large_to_be_held_is_let_go_as_it_comes() -> None:
    large = said("x" * 3 * HELD)
    reader = Withheld()
    assert reader.feed(large[: HELD + 1]) == large[: HELD + 1]
    assert reader.feed(large[HELD + 1 : HELD + 9]) == large[HELD + 1 : HELD + 9]
    assert reader.feed(large[HELD + 9 :] + TOLD + DONE) + reader.end() == large[HELD + 9 :] + DONE


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_an_event_too_large_to_be_held_may_be_cut_in_two(end: bytes) -> None:
    large = said("x" * (HELD + 1000)).replace(b"\n", end)
    behind = (TOLD + DONE).replace(b"\n", end)
    for at in range(len(large) - 5, len(large) + 1):
        assert passed(large + behind, at) == large + DONE.replace(b"\n", end)
    assert passed(large, len(large) - len(end)) == large
    assert passed(large[: -len(end)], HELD + 9) == large[: -len(end)]
