"""Frames are followed at any split, and what they say of their cost is added up."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.metering.frames import FrameReader, SessionReader
from lb.metering.usage import UNKNOWN, Usage

TOLD = {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42, "input_token_details": {"cached_tokens": 8}}
COST = Usage(prompt=30, completion=12, total=42, cached=8)


def frame(payload: bytes, opcode: int = 1, *, final: bool = True, mask: bool = False, reserved: int = 0) -> bytes:
    size = len(payload)
    length = (
        bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    )
    first = opcode | reserved | (0x80 if final else 0)
    return bytes((first, length[0] | (0x80 if mask else 0))) + length[1:] + (b"\0\0\0\0" if mask else b"") + payload


def said(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode()


CREATED = said({"type": "response.created", "response": {"id": "r", "usage": None}})
DONE = said({"event_id": "event_1", "type": "response.done", "response": {"output": [], "usage": TOLD}})
DELTA = said({"type": "response.output_audio.delta", "delta": "UklGR" * 20_000})
SPOKEN = said({"type": "conversation.item.input_audio_transcription.completed", "usage": {**TOLD, "type": "tokens"}})
COMPLETED = said({"type": "response.completed", "sequence_number": 9, "response": {"usage": TOLD, "metadata": {}}})
FAILED = said({"type": "response.failed", "response": {"usage": None}})
ECHO = said({"type": "session.updated", "session": {"tools": [{"parameters": {"usage": TOLD}}], "usage": None}})
QUOTED = said({"type": "response.output_text.delta", "delta": '"response.created" "usage": {"total_tokens": 9}'})


def read(*frames: bytes) -> SessionReader:
    reader = SessionReader()
    reader.feed(b"".join(frames))
    return reader


SESSIONS = {
    "nothing was asked": ((frame(ECHO), frame(b"", 9)), Usage()),
    "one response": ((frame(CREATED), frame(DELTA), frame(DONE)), COST),
    "a transcription, too": ((frame(SPOKEN), frame(CREATED), frame(DONE)), Usage(60, 24, 84, 16)),
    "responses": ((frame(CREATED), frame(COMPLETED), frame(CREATED), frame(FAILED)), COST),
    "in pieces": ((frame(DONE[:9], final=False), frame(b"x", 9), frame(DONE[9:], 0)), COST),
    "the usage split": ((frame(DONE[:-25], final=False), frame(DONE[-25:], 0)), COST),
    "cut": ((frame(CREATED), frame(DONE), frame(CREATED), frame(DELTA)), Usage(30, 12, 42, 8, estimated=True)),
    "cut at once": ((frame(CREATED), frame(DELTA)), UNKNOWN),
    "no cost told": ((frame(CREATED), frame(said({"type": "response.done", "response": {"usage": None}}))), UNKNOWN),
    "binary": ((frame(DONE, 2),), Usage()),
    "compressed": ((frame(b"\xaa\x56", reserved=0x40),), UNKNOWN),
    "quoted": ((frame(QUOTED),), Usage()),
    "no frames": ((b"\x88\xfe\xff\xff" + DONE,), UNKNOWN),
    "not JSON": ((frame(b'"usage": {"total_tokens": 1'), frame(b'{"usage": {"total_tokens": -1}}')), Usage()),
}


@pytest.mark.parametrize(("frames", "cost"), SESSIONS.values(), ids=SESSIONS)
def test_a_session_costs_what_its_responses_say(frames: tuple[bytes, ...], cost: Usage) -> None:
    assert read(*frames).usage() == cost


def test_each_cost_is_told_as_soon_as_it_is_known() -> None:
    reader = SessionReader()
    whole = frame(DONE)
    assert [len(reader.feed(piece)) for piece in (frame(CREATED), whole[:-1], whole[-1:], frame(DELTA))] == [0, 0, 1, 0]
    assert reader.total == COST


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.sampled_from(sorted(SESSIONS)))
def test_any_split_gives_the_same(sizes: list[int], name: str) -> None:
    frames, cost = SESSIONS[name]
    stream, reader, at = b"".join(frames), SessionReader(), 0
    for size in sizes:
        reader.feed(stream[at : at + size])
        at += size
    reader.feed(stream[at:])
    assert reader.usage() == cost


a_frame = st.builds(
    frame,
    st.binary(max_size=300) | st.integers(65_530, 65_600).map(bytes),
    st.sampled_from([0, 1, 2, 3]),
    final=st.booleans(),
    mask=st.booleans(),
)


@given(st.lists(a_frame | st.just(frame(b"ping", 9)), max_size=8), st.lists(st.integers(0, 70_000), max_size=12))
def test_boundaries_are_found_at_any_split(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames)
    ends = {sum(map(len, frames[:n])) for n in range(len(frames) + 1)}
    reader, follower, at = FrameReader(), FrameReader(), 0
    for cut in sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)}):
        spans = reader.feed(stream[at:cut])
        follower.follow(stream[at:cut])
        assert all(start <= end <= cut - at for _, start, end, _ in spans)
        at = cut
        assert reader.between == follower.between == (at in ends)


@given(st.binary(max_size=400), st.integers(1, 40))
def test_whatever_comes_does_no_harm(data: bytes, step: int) -> None:
    whole, pieces = SessionReader(), SessionReader()
    whole.feed(data)
    for at in range(0, len(data), step):
        pieces.feed(data[at : at + step])
    assert whole.usage() == pieces.usage()
    reader, follower = FrameReader(), FrameReader()
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        follower.follow(data[at : at + step])
        assert (reader.between, reader.closed, reader.lost) == (follower.between, follower.closed, follower.lost)


HOSTILE = {
    "a long ping": b"\x89\x7e\x01\x00",
    "a ping in pieces": b"\x09\x00",
    "a negative length": b"\x82\x7f" + b"\xff" * 8,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_where_no_boundary_can_be_told_none_is(data: bytes) -> None:
    reader = FrameReader()
    reader.feed(data)
    assert reader.lost
    reader.feed(frame(b"") * 3)
    assert not reader.between


def test_behind_a_close_there_is_no_place_for_a_frame() -> None:
    reader = FrameReader()
    reader.feed(frame(b"\x03", 8)[:-1])
    assert not reader.closed
    reader.feed(b"\x03")
    assert not reader.closed or not reader.between
    whole = FrameReader()
    whole.feed(frame(b"\x03\xe8", 8))
    assert whole.closed
    assert not whole.between


def test_little_is_held_of_a_large_message() -> None:
    reader = SessionReader()
    reader.feed(frame(bytes(64 * 1024 * 1024))[:20])
    for _ in range(100):
        reader.feed(b"x" * 65_536)
    assert reader._tail is not None
    assert reader._tail._held is None
    assert len(reader._beginning) <= 512
