"""The chunked decoder, held against llhttp wherever both have an opinion."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.wire.chunked import ChunkedBody
from lb.wire.malformed import Malformed

END = b"0\r\n\r\n"


def decode(*pieces: bytes) -> tuple[bytes, bytes | None]:
    body = bytearray()
    chunks = ChunkedBody()
    after: bytes | None = None
    for piece in pieces:
        assert after is None
        after = chunks.feed(piece, body.extend)
    return bytes(body), after


def encode(pieces: list[bytes], trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n" + trailers + b"\r\n"


class Oracle:
    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.complete = True


def oracle(raw: bytes) -> bytes | None:
    """The body as llhttp reads it; None where it is malformed or has no end."""
    seen = Oracle()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        parser.feed_data(raw)
    except httptools.HttpParserError:
        return None
    return seen.body if seen.complete else None


@given(st.lists(st.binary(max_size=50)), st.sampled_from([b"", b"A: b\r\n"]), st.data())
def test_a_body_is_the_same_however_it_is_cut(pieces: list[bytes], trailers: bytes, data: st.DataObject) -> None:
    raw = encode(pieces, trailers)
    at = data.draw(st.integers(0, len(raw) - 1))
    assert decode(raw[:at], raw[at:] + b"GET /") == (b"".join(pieces), b"GET /")
    assert decode(*[raw[at : at + 1] for at in range(len(raw))]) == (b"".join(pieces), b"")
    assert oracle(raw) == b"".join(pieces)


@given(
    st.lists(
        st.sampled_from(
            [b"0", b"3", b"a", b"\r\n", b"\r", b"\n", b";", b"abc", b" ", b"\t", b"x=y", b'"', b":", b"+", b"\0"]
        ),
        max_size=12,
    )
)
def test_what_llhttp_refuses_is_never_read_as_a_body(tokens: list[bytes]) -> None:
    raw = b"".join(tokens) + END
    try:
        body, after = decode(raw)
    except Malformed:
        return
    if after is not None:
        assert oracle(raw[: len(raw) - len(after)]) == body


@pytest.mark.parametrize(
    "raw", [b"", b"3", b"3\r", b"3\r\n", b"3\r\nab", b"3\r\nabc", b"3\r\nabc\r\n0", b"0\r\n", b"0\r\nA: b\r\n"]
)
def test_a_body_without_its_end_is_not_complete(raw: bytes) -> None:
    assert decode(raw)[1] is None


def test_leading_zeros_have_an_end() -> None:
    assert decode(b"0" * 14 + b"3\r\nabc\r\n" + END) == (b"abc", b"")
    with pytest.raises(Malformed):
        decode(b"0" * 15 + b"3\r\nabc\r\n" + END)
