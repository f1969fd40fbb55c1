"""Whatever is not one request in one reading gets a clear answer, one line for the operator, and no backend sees it."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.wire.front_door import GOOD, Door, open_door

POST = b"POST /v1 HTTP/1.1\r\n"
HOST = b"Host: lb\r\n"
CHUNKED = POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

FRAMING = {
    "length and chunked": (400, POST + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END),
    "chunked and length": (400, POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + END),
    "two equal lengths": (400, POST + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "two different lengths": (400, POST + HOST + b"Content-Length: 3\r\ncontent-length: 4\r\n\r\nabc"),
    "list of lengths": (400, POST + HOST + b"Content-Length: 5, 5\r\n\r\nabcde"),
    "signed length": (400, POST + HOST + b"Content-Length: +3\r\n\r\nabc"),
    "negative length": (400, POST + HOST + b"Content-Length: -1\r\n\r\n"),
    "hexadecimal length": (400, POST + HOST + b"Content-Length: 0x3\r\n\r\nabc"),
    "garbled length": (400, POST + HOST + b"Content-Length: 3 4\r\n\r\nabc"),
    "empty length": (400, POST + HOST + b"Content-Length: \r\n\r\n"),
    "length beyond 64 bits": (400, POST + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    "length of 2 to the 64th less 1": (400, POST + HOST + b"Content-Length: 18446744073709551615\r\n\r\nabc"),
    "gzip, chunked": (501, POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END),
    "gzip alone": (501, POST + HOST + b"Transfer-Encoding: gzip\r\n\r\n" + END),
    "identity, then chunked": (
        400,
        POST + HOST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    ),
    "xchunked": (501, POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n" + END),
    "chunked;x=1": (501, POST + HOST + b"Transfer-Encoding: chunked;x=1\r\n\r\n" + END),
    "chunked, chunked": (400, POST + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + END),
    "chunked, gzip": (400, POST + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + END),
    "chunked in two fields": (
        400,
        POST + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    ),
    "empty coding": (400, POST + HOST + b"Transfer-Encoding: \r\n\r\n" + END),
    "vertical tab before the coding": (400, POST + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END),
    "chunked in HTTP/1.0": (400, b"POST /v1 HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + END),
    "space before the coding's colon": (400, POST + HOST + b"Transfer-Encoding : chunked\r\n\r\n" + END),
    "chunk size not hexadecimal": (400, CHUNKED + b"zz\r\n" + END),
    "chunk size with prefix": (400, CHUNKED + b"0x3\r\nabc\r\n" + END),
    "signed chunk size": (400, CHUNKED + b"+3\r\nabc\r\n" + END),
    "empty chunk size": (400, CHUNKED + b"\r\nabc\r\n" + END),
    "chunk size beyond 64 bits": (400, CHUNKED + b"10000000000000003\r\nabc\r\n" + END),
    "space after the chunk size": (400, CHUNKED + b"3 \r\nabc\r\n" + END),
    "chunk line that ends with LF": (400, CHUNKED + b"3\nabc\r\n" + END),
    "LF in a chunk extension": (400, CHUNKED + b"3;a\nabc\r\n" + END),
    "CR in a chunk extension": (400, CHUNKED + b"3;a\rb\r\nabc\r\n" + END),
    "endless chunk extension": (400, CHUNKED + b"3;" + b"a" * 5000),
    "chunk longer than its size": (400, CHUNKED + b"3\r\nabcd\r\n" + END),
    "chunk that ends with LF": (400, CHUNKED + b"3\r\nabc\n" + END),
    "trailer without a colon": (400, CHUNKED + b"0\r\nabc\r\n\r\n"),
    "endless trailers": (400, CHUNKED + b"0\r\n" + b"a: b\r\n" * 5000),
}
HEADS = {
    "no Host": (400, POST + b"\r\n"),
    "two Hosts": (400, POST + HOST + b"Host: evil\r\n\r\n"),
    "two equal Hosts": (400, POST + HOST + HOST + b"\r\n"),
    "empty Host": (400, POST + b"Host: \r\n\r\n"),
    "Host with a path": (400, POST + b"Host: a/b\r\n\r\n"),
    "Host with user information": (400, POST + b"Host: u@a\r\n\r\n"),
    "two names in Host": (400, POST + b"Host: a b\r\n\r\n"),
    "space before the colon": (400, POST + HOST + b"Foo : b\r\n\r\n"),
    "empty field name": (400, POST + HOST + b": b\r\n\r\n"),
    "field without a colon": (400, POST + HOST + b"Foo\r\n\r\n"),
    "field name beyond ASCII": (400, POST + HOST + b"F\xc3\xb6\xc3\xb6: b\r\n\r\n"),
    "folded field": (400, POST + HOST + b"Foo: b\r\n c\r\n\r\n"),
    "space before the first field": (400, POST + b" Foo: b\r\n" + HOST + b"\r\n"),
    "LF alone everywhere": (400, b"GET / HTTP/1.1\nHost: lb\n\n"),
    "LF alone in a field": (400, POST + HOST + b"Foo: b\nBar: c\r\n\r\n"),
    "LF alone at the end": (400, POST + HOST + b"Foo: b\r\n\n"),
    "LF alone before the request": (400, b"\n" + POST + HOST + b"\r\n"),
    "CR alone in a value": (400, POST + HOST + b"Foo: b\rBar: c\r\n\r\n"),
    "two CRs": (400, POST + HOST + b"Foo: b\r\r\n\r\n"),
    "NUL in a value": (400, POST + HOST + b"Foo: b\0c\r\n\r\n"),
    "control byte in a value": (400, POST + HOST + b"Foo: b\x01c\r\n\r\n"),
    "DEL in a value": (400, POST + HOST + b"Foo: b\x7fc\r\n\r\n"),
    "two content types": (400, POST + HOST + b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n"),
    "unknown method": (501, b"FROBNICATE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method in lower case": (501, b"get / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method that is no token": (400, b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "CONNECT": (405, b"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n"),
    "CONNECT with a path": (405, b"CONNECT /v1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TRACE": (405, b"TRACE /v1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "OPTIONS *": (400, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "GET *": (400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (400, b"GET /v1\r\n"),
    "HTTP/0.9 by number": (400, b"GET /v1 HTTP/0.9\r\n\r\n"),
    "HTTP/1.2": (400, b"GET /v1 HTTP/1.2\r\n" + HOST + b"\r\n"),
    "HTTP/2.0": (505, b"GET /v1 HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/3.0": (505, b"GET /v1 HTTP/3.0\r\n" + HOST + b"\r\n"),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http in lower case": (400, b"GET /v1 http/1.1\r\n" + HOST + b"\r\n"),
    "RTSP": (400, b"GET /v1 RTSP/1.0\r\n" + HOST + b"\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60)),
    "two spaces after the method": (400, b"GET  /v1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "tab after the method": (400, b"GET\t/v1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "space after the version": (400, b"GET /v1 HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "unknown expectation": (417, POST + HOST + b"Expect: a-miracle\r\nContent-Length: 3\r\n\r\n"),
    "head too large": (431, POST + HOST + b"Foo: " + b"a" * 70_000 + b"\r\n\r\n"),
    "endless head": (431, POST + HOST + b"Foo: b\r\n" * 10_000),
    "too many fields": (431, POST + HOST + b"Foo: b\r\n" * 128 + b"\r\n"),
    "target too long": (414, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "endless target": (414, b"GET /" + b"a" * 20_000),
}
TARGETS = {
    "space": b"/a b",
    "control byte": b"/a\x01",
    "NUL": b"/a\0",
    "raw UTF-8": b"/\xc3\xa9",
    "fragment": b"/a#b",
    "backslash": b"/a\\..\\b",
    "no slash": b"a/b",
    "another scheme": b"ftp://evil/x",
    "user information": b"http://u:p@evil/x",
    "absolute without a host": b"http:///x",
    "dot segments": b"/openai/../admin",
    "dot segment at the end": b"/openai/..",
    "single dot": b"/openai/./x",
    "escaped dots": b"/openai/%2e%2E/admin",
    "half-escaped dots": b"/openai/.%2e/admin",
    "escaped slashes around dots": b"/openai%2f..%2fadmin",
    "escaped backslashes around dots": b"/openai%5c..%5cadmin",
    "twice escaped dots": b"/openai/%252e%252e/admin",
    "dots with a parameter": b"/openai/..;x=1/admin",
    "dot segments in absolute form": b"http://lb/openai/../admin",
}
TABLE = {
    **FRAMING,
    **HEADS,
    **{
        f"target with {name}": (400, b"GET %b HTTP/1.1\r\nHost: lb\r\n\r\n" % target)
        for name, target in TARGETS.items()
    },
}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door


@pytest.mark.parametrize("name", TABLE)
async def test_a_malformed_request_is_refused_and_told_in_one_line(door: Door, name: str) -> None:
    status, raw = TABLE[name]
    client = await door.connect()
    answer = await client.ask(raw)
    assert (answer.status, answer.fields[b"connection"]) == (status, b"close")
    error = json.loads(answer.body)["error"]
    assert error["code"]
    assert error["message"].endswith(".")
    assert await client.rest() == b""
    assert door.reports == [("Refused a request", {"status": status, "reason": error["message"], "peer": "127.0.0.1"})]
    assert door.gateway.requests == []
    assert raw.startswith(CHUNKED) or door.gateway.heads == []
    assert (await door.ask(GOOD)).status == 200
    assert [request.body for request in door.gateway.requests] == [b"{}"]


@pytest.mark.parametrize("name", TABLE)
async def test_a_malformed_request_is_refused_also_when_it_comes_byte_by_byte_behind_a_good_one(
    door: Door, name: str
) -> None:
    status, raw = TABLE[name]
    client = await door.connect()
    assert (await client.ask(GOOD)).status == 200
    for at in range(0, len(raw), step := max(1, len(raw) // 50)):
        client.writer.write(raw[at : at + step])
        await client.writer.drain()
    assert (await client.answer()).status == status
    assert [facts["status"] for _, facts in door.reports] == [status]
    assert len(door.gateway.requests) == 1


def test_the_table_has_enough_framing_conflicts() -> None:
    assert len(FRAMING) >= 15
    assert len(TABLE) >= 40
