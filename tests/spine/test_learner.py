"""What is learned from a reply as it passes, in whatever pieces it comes."""

import gzip
import itertools
import json

import pytest
from fakes import FakeReply
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.affinity import Affinity
from lb.balancing.backend import Backend
from lb.balancing.pins import Pins, size_of
from lb.events import Finished, Outcome
from lb.spine.learner import READ_MAX, Learner

OVER = Finished("r", "POST", None, Outcome.RELAYED, 200, 1, 0.1)
RESPONSE = {"id": "resp_12345", "output": [{"id": "msg_12345", "content": [{"text": "hi"}]}]}
EVENTS = (
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_12345","output":[]}}\n\n'
    b'event: response.output_text.delta\ndata: {"item_id":"msg_12345","delta":"\xc3\xa9 \\"id\\": 1"}\n\n'
    b': a comment\r\n\r\n'
    b"event: response.output_item.done\r\n"
    b'data: {"item":{"id":"rs_12345","encrypted_content":"gAAAAABxyzxyzxyz"}}\r\n\r\n'
    b"data: [DONE]\n\n"
)  # fmt: skip
STREAM = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]


def learned(headers: list[tuple[str, str]], pieces: list[bytes], *names: bytes) -> list[bool]:
    """Which of these names are known once the pieces have passed?"""
    affinity = Affinity(Pins(bytearray(size_of(100))), [Backend("a", "https://a.example")])
    learner = Learner(affinity, "a", "ada", FakeReply(200, headers))
    for piece in pieces:
        learner.data(piece)
    learner.end(OVER)
    return [affinity.knows(name) is not None for name in names]


def cut(text: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(ends)]


@given(st.lists(st.integers(0, 2000), max_size=12))
def test_any_pieces_of_an_event_stream_give_the_same(places: list[int]) -> None:
    names = (b"resp_12345", b"rs_12345", b"gAAAAABxyzxyzxyz", b"msg_12345")
    assert learned(STREAM, cut(EVENTS, places), *names) == [True, True, True, False]


@given(st.lists(st.integers(0, 2000), max_size=6))
def test_any_pieces_of_a_json_reply_give_the_same(places: list[int]) -> None:
    text = json.dumps(RESPONSE).encode()
    assert learned(JSON, cut(text, places), b"resp_12345", b"msg_12345") == [True, True]


@given(st.lists(st.integers(0, 2000), max_size=6))
def test_what_is_packed_is_read_too(places: list[int]) -> None:
    packed = [("Content-Encoding", "gzip")]
    text = gzip.compress(json.dumps(RESPONSE).encode())
    assert learned([*JSON, *packed], cut(text, places), b"resp_12345") == [True]
    assert learned([*STREAM, *packed], cut(gzip.compress(EVENTS), places), b"resp_12345") == [True]


def test_an_id_is_known_while_the_stream_runs() -> None:
    affinity = Affinity(Pins(bytearray(size_of(100))), [Backend("a", "https://a.example")])
    Learner(affinity, "a", "ada", FakeReply(200, STREAM)).data(EVENTS[:100] + b"\n\n")
    assert affinity.knows(b"resp_12345") is not None


def test_of_a_reply_that_is_too_long_its_own_id_is_read_and_no_more_is_held() -> None:
    text = json.dumps({"id": "resp_12345", "output": ["x" * (READ_MAX + 1)], "data": [{"id": "msg_12345"}]}).encode()
    assert learned(JSON, cut(text, [1000, 5000]), b"resp_12345", b"msg_12345") == [True, False]


def test_a_line_that_is_too_long_is_left_out_and_the_next_is_read() -> None:
    long = b'data: {"item":{"id":"msg_12345","x":"' + b"x" * READ_MAX + b'"}}\n\n'
    after = b'data: {"item":{"id":"msg_67890"}}\n\n'
    for places in ([], [10], [1000, 200_000, READ_MAX + 60], list(range(0, READ_MAX, 4096))):
        assert learned(STREAM, cut(long + after, places), b"msg_12345", b"msg_67890") == [False, True]


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (JSON, b'{"id": "resp_1'),
        (JSON, b"\xff\xfe\x00"),
        (JSON, b""),
        ([*JSON, ("Content-Encoding", "gzip")], b"not packed at all"),
        ([*JSON, ("Content-Encoding", "br")], json.dumps(RESPONSE).encode()),
        (STREAM, b'data: {"id": "resp_12345"'),
        (STREAM, b'event: {"id": "resp_12345"}\n\n'),
        (STREAM, b"\r\r\n\n\r" * 100),
    ],
)
def test_what_cannot_be_read_teaches_nothing_and_breaks_nothing(headers: list[tuple[str, str]], text: bytes) -> None:
    assert learned(headers, [text, text], b"resp_12345") == [False]
