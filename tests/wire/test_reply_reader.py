import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.exchange import Headers
from lb.wire.plain_head import fields_of
from lb.wire.reply_reader import HEAD_LIMIT, ReplyReader

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"
TRAILERS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nDigest: x\r\n\r\n"
UNTIL_END = b"HTTP/1.1 200 OK\r\n\r\nhello"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + LENGTH


def read(*parts: bytes, bodiless: bool = False, **options: object) -> tuple[ReplyReader, bytes]:
    reader = ReplyReader(bodiless, **options)
    body = b""
    for part in parts:
        if reader.done:
            break
        body += reader.feed(part)
    return reader, body


def headers_of(reader: ReplyReader) -> Headers:
    return fields_of(reader.raw) if reader.raw else reader.headers


@pytest.mark.parametrize("raw", [LENGTH, CHUNKED, TRAILERS, INTERIM])
def test_a_reply_reads_the_same_wherever_it_is_split(raw: bytes) -> None:
    for first in range(1, len(raw)):
        for second in (first + 1, len(raw) - 1):
            reader, body = read(raw[:first], raw[first:second], raw[second:])
            assert (reader.status, reader.reason, body) == (200, b"OK", b"hello"), first
            assert reader.ended
            assert reader.persistent
            assert reader.fault is None


@pytest.mark.parametrize("raw", [LENGTH, CHUNKED, TRAILERS, INTERIM])
def test_a_reply_that_comes_whole_leaves_the_connection_clean(raw: bytes) -> None:
    reader, _ = read(raw)
    assert reader.clean


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.randoms(use_true_random=False))
def test_a_chunked_body_is_undone_at_any_split(pieces: list[bytes], random: object) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    cuts = sorted(random.randrange(len(raw)) for _ in range(5))
    parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    reader, body = read(*[part for part in parts if part])
    assert body == b"".join(pieces)
    assert reader.ended
    assert reader.fault is None


@given(st.binary(max_size=300))
def test_garbage_is_never_a_reply_and_never_an_exception(raw: bytes) -> None:
    reader, body = read(raw)
    assert reader.status == 0
    assert body == b""


@given(st.sampled_from([LENGTH, CHUNKED, TRAILERS, INTERIM]), st.integers(0, 200), st.binary(max_size=3))
def test_a_damaged_reply_is_never_an_exception(raw: bytes, at: int, damage: bytes) -> None:
    read(raw[:at] + damage + raw[at + 1 :])


def test_names_and_values_stay_as_they_were_sent_with_duplicates_in_order() -> None:
    reader, _ = read(b"HTTP/1.1 200 OK\r\nsEt-cookie: a=1\r\nX: \xe4\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n")
    assert headers_of(reader) == [
        (b"sEt-cookie", b"a=1"),
        (b"X", b"\xe4"),
        (b"Set-Cookie", b"b=2"),
        (b"Content-Length", b"0"),
    ]


def test_a_body_without_framing_ends_with_the_connection() -> None:
    reader, body = read(UNTIL_END)
    assert body == b"hello"
    assert not reader.ended
    assert reader.length is None
    assert reader.eof()
    assert reader.ended
    assert not reader.persistent


@pytest.mark.parametrize("raw", [LENGTH[:-1], CHUNKED[:-2], LENGTH[:20], b""])
def test_an_end_before_the_end_is_not_taken_for_one(raw: bytes) -> None:
    reader, _ = read(raw) if raw else (ReplyReader(), b"")
    assert not reader.eof()


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", 0),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 0),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0),
    ],
)
def test_some_replies_have_no_body_whatever_their_fields_say(head: bytes, length: int) -> None:
    reader, body = read(head)
    assert (reader.ended, reader.length, body, reader.clean) == (True, length, b"", True)


@pytest.mark.parametrize("framing", [b"Content-Length: 7", b"Transfer-Encoding: chunked", b"X: y"])
def test_the_reply_to_a_head_request_has_no_body_and_keeps_its_fields(framing: bytes) -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n", bodiless=True)
    assert (reader.ended, reader.length, body, reader.clean) == (True, 0, b"", True)
    assert b": ".join(headers_of(reader)[0]) == framing


@pytest.mark.parametrize(
    "raw",
    [LENGTH, CHUNKED, TRAILERS, b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
)
@pytest.mark.parametrize("more", [b"x", b"\r\n", b"\n", LENGTH, CHUNKED, b"0\r\n\r\n", b"\r\n\r\n"])
def test_bytes_behind_a_reply_are_noticed_and_do_not_reach_its_body(raw: bytes, more: bytes) -> None:
    whole, body = read(raw)
    reader, same = read(raw + more)
    assert same == body
    assert reader.ended
    assert not reader.clean
    assert headers_of(reader) == headers_of(whole)


@pytest.mark.parametrize("more", [b"x", b"\r\n", b"5\r\nhello\r\n0\r\n\r\n"])
def test_a_body_behind_the_reply_to_a_head_request_is_noticed(more: bytes) -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + more, bodiless=True)
    assert body == b""
    assert not reader.clean


@pytest.mark.parametrize(
    ("head", "persistent"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", True),
    ],
)
def test_the_head_says_whether_the_connection_stays_open(head: bytes, persistent: bool) -> None:
    assert read(head)[0].persistent is persistent


def test_interim_replies_are_told_and_not_taken_for_the_answer() -> None:
    told: list[object] = []
    reader, _ = read(INTERIM, interim=lambda status, headers: told.append((status, list(headers))))
    assert told == [(100, []), (103, [(b"Link", b"</a>")])]
    assert (reader.status, reader.reason) == (200, b"OK")
    assert headers_of(reader) == [(b"Content-Length", b"5")]


def test_a_missing_reason_is_empty_also_behind_an_interim_reply_that_had_one() -> None:
    reader, _ = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")
    assert reader.reason == b""


def big_head(size: int) -> bytes:
    start, end = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


def test_a_head_of_the_limit_is_read_and_a_larger_one_refused() -> None:
    assert read(big_head(HEAD_LIMIT))[0].fault is None
    assert "larger than" in read(big_head(HEAD_LIMIT + 1))[0].fault


def test_a_head_without_an_end_is_refused_at_the_limit() -> None:
    reader, _ = read(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"x" * 1000 + b"\r\n"] * 70)
    assert "larger than" in reader.fault


def test_interim_replies_without_an_end_are_refused_at_the_limit() -> None:
    reader, _ = read(*[b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 1000 + b"\r\n\r\n"] * 70)
    assert "larger than" in reader.fault


@pytest.mark.parametrize("endless", [b"5;" + b"x" * 1000, b"0\r\nX: " + b"x" * 1000])
def test_chunk_framing_and_trailers_without_an_end_are_refused(endless: bytes) -> None:
    reader, _ = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", endless, *[b"x" * 1000] * 70)
    assert "in a row" in reader.fault


def test_a_long_stream_in_tiny_reads_is_not_taken_for_endless_framing() -> None:
    event = b"5\r\nhello\r\n"
    parts = [bytes([byte]) for byte in event * 20_000]
    reader, body = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *parts, b"0\r\n\r\n")
    assert reader.ended
    assert len(body) == 100_000


def test_what_came_before_a_broken_chunk_is_handed_over_with_the_fault() -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhellozz")
    assert body.startswith(b"hellohello")
    assert reader.fault is not None
    assert not reader.ended


MALFORMED = {
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "coding and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "the same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "a garbled length": b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
    "an endless length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nok",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "nearly chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunked with a comma": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n",
    "identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "one bare line feed": b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": b"HTTP/1.1 200 OK\r\nA: b\rX: y\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    "NUL in a name": b"HTTP/1.1 200 OK\r\nA\0: b\r\nContent-Length: 0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
    "a line without a colon": b"HTTP/1.1 200 OK\r\nAb\r\nContent-Length: 0\r\n\r\n",
    "an empty name": b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
    "a short status": b"HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n",
    "a long status": b"HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "a leading blank line": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "switched protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "switched without saying to what": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "an interim reply with a body": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc",
    "a chunk size that is no number": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
    "a negative chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
    "a prefixed chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
    "an endless chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n",
    "a chunk longer than its size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n0\r\n\r\n",
    "bare line feeds in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n",
    "a length in the trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a garbled trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b\r\n\r\n",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_reply_is_refused_however_it_arrives(case: str) -> None:
    raw = MALFORMED[case]
    whole, _ = read(raw)
    assert whole.fault
    assert not whole.ended
    bytewise, _ = read(*[raw[at : at + 1] for at in range(len(raw))])
    assert bytewise.fault
    assert not bytewise.ended
