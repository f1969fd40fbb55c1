"""What is read by the short way must be what llhttp reads, and what may not go on must not pass for plain."""

import pytest
from httptools import HttpParserError, HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from lb.wire.plain_head import field_of, fields_of, plain_head
from lb.wire.reply_rules import framing

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


class Fields:
    def __init__(self) -> None:
        self.told: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.reason = b""
        self.keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.told.append((name, value))

    def on_status(self, reason: bytes) -> None:
        self.reason = reason

    def on_headers_complete(self) -> None:
        self.status, self.keeps = self.parser.get_status_code(), self.parser.should_keep_alive()


def by_llhttp(head: bytes) -> Fields | None:
    """What llhttp makes of it; None where it refuses."""
    fields = Fields()
    fields.parser = HttpResponseParser(fields)
    try:
        fields.parser.feed_data(head)
    except HttpParserError:
        return None
    return fields


token = st.text("abcXYZ019-_!~", min_size=1, max_size=12).map(str.encode)
names = st.one_of(
    token,
    st.sampled_from([b"Content-Length", b"content-length", b"Connection", b"Transfer-Encoding", b"te", b"TE "]),
)
values = st.one_of(
    st.sampled_from([b"5", b" 5 ", b"5, 5", b"+5", b"chunked", b"close", b"keep-alive", b"a\tb", b"\xe9", b"\x00"]),
    st.binary(max_size=6),
)
heads = st.builds(
    lambda status, reason, fields: b"HTTP/1.1 %b%b\r\n%b\r\n" % (status, reason, b"".join(fields)),
    st.sampled_from([b"200", b"429", b"100", b"204", b"600", b"20"]),
    st.sampled_from([b"", b" ", b" OK", b" Too Many", b" a\x01b"]),
    st.lists(
        st.builds(lambda *parts: b"%b%b%b\r\n" % parts, names, st.sampled_from([b":", b": "]), values),
        max_size=5,
    ),
)


@given(st.one_of(heads, st.just(SIZED)), st.binary(max_size=8))
def test_what_is_plain_is_what_llhttp_reads(head: bytes, behind: bytes) -> None:
    plain = plain_head(head + behind)
    if plain is None:
        return
    raw = (head + behind)[: plain.end]
    told = by_llhttp(raw)
    assert told is not None
    assert (told.status, told.reason, told.keeps) == (plain.status, plain.reason, True)
    assert framing(told.told, False) == (plain.length, False)
    assert [(name, value.rstrip(b" \t")) for name, value in told.told] == [
        (name, value.rstrip(b" \t")) for name, value in fields_of(raw)
    ]
    for name, _ in told.told:
        first = next(value for other, value in told.told if other.lower() == name.lower())
        assert field_of(raw, raw.lower(), name.lower()) == first.strip(b" \t")


@pytest.mark.parametrize(
    "field",
    [
        b"Transfer-Encoding: chunked",
        b"transfer-encoding : chunked",
        b"Connection: close",
        b"CONNECTION: keep-alive",
        b"Keep-Alive: timeout=5",
        b"Content-Length: 5",
        b"Upgrade: h2c",
        b"Trailer: x",
        b"Te: x",
        b"Proxy-Authenticate: Basic",
        b" folded: yes",
        b"X-Y: a\rb",
        b"X-Y: a\nb",
        b"X-Y: a\x00b",
        b"no colon",
        b": no name",
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_what_frames_or_is_for_this_hop_or_is_garbled_is_not_plain(field: bytes, before: bool) -> None:
    lines = [field, b"Content-Length: 5"] if before else [b"Content-Length: 5", field]
    assert plain_head(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % b"\r\n".join(lines)) is None


@pytest.mark.parametrize("status", [b"100", b"101", b"199", b"600", b"099", b"2000"])
def test_only_final_statuses_are_plain(status: bytes) -> None:
    assert plain_head(b"HTTP/1.1 %b X\r\nContent-Length: 0\r\n\r\n" % status) is None


def test_a_head_that_is_not_there_to_its_end_is_not_plain() -> None:
    assert all(plain_head(SIZED[:size]) is None for size in range(len(SIZED)))
    assert plain_head(SIZED) is not None
