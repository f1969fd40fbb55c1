"""A head that is known again must mean what it would mean if it were read."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.wire.head import Head
from lb.wire.head_reader import next_head
from lb.wire.malformed import Malformed
from lb.wire.repeats import Heads

FIRST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %b\r\nX-A: 1\r\n\r\n"
OTHERS = [
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nX-A: 2\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nContent-Length: 12\r\nX-A: 1\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 12, 12\r\nX-A: 1\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\nX-A: 1\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \r\nX-A: 1\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1111111111111111111111\r\nX-A: 1\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 12 \r\nX-A: 1\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\napi-key: secret\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Le",
]


NAMES = [field.name for field in fields(Head) if field.name != "_rendered"]


def outcome(read: Any, received: bytes) -> Any:
    try:
        head, rest = read(received, "peer")
    except Malformed as problem:
        return problem.refusal.status, problem.refusal.message
    if head is None:
        return None, rest
    told = {name: getattr(head, name) for name in NAMES}
    told["fields"] = {name: value for name, value in head.fields.items() if name != b"content-length"}
    return told, head.rendered(), rest


@given(
    st.lists(st.one_of(st.integers(0, 10**18).map(lambda n: FIRST % b"%d" % n), st.sampled_from(OTHERS)), max_size=8)
)
def test_heads_read_in_a_row_mean_what_they_mean_alone(blocks: list[bytes]) -> None:
    heads = Heads()
    for block in blocks:
        received = block + b"rest of it"
        assert outcome(heads.next, received) == outcome(next_head, received)


@pytest.mark.parametrize("length", [b"0", b"7", b"007", b"999999999999999999"])
def test_another_length_is_the_only_difference_that_is_overlooked(length: bytes) -> None:
    heads = Heads()
    for _ in range(3):
        known, _ = heads.next(FIRST % b"5", "peer")
    again, rest = heads.next(FIRST % length + b"tail", "peer")
    assert again is known
    assert again is not None
    assert (again.length, rest) == (int(length), b"tail")


@pytest.mark.parametrize("other", OTHERS)
def test_anything_else_is_read_anew(other: bytes) -> None:
    heads = Heads()
    for _ in range(3):
        heads.next(FIRST % b"5", "peer")
    assert outcome(heads.next, other) == outcome(next_head, other)
