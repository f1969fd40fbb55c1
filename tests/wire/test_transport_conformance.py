"""The own transport and aiohttp's client, tuned as far as it goes, must see the same in the same bytes.

Where aiohttp is known to do worse the case says so; what it does then is checked, too, so that a better aiohttp shows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from oracle_transport import OracleTransport
from scripted_backend import OK, Collector, Peer, a_request, answering, scripted, turns

from lb.exchange import BackendFailed, Blame, Transport
from lb.wire.transport import SocketTransport
from tests.wire.conftest import Key

BOTH_LOOPS = True


@pytest.fixture(params=["own", "aiohttp"])
async def sender(
    request: pytest.FixtureRequest, make_transport: Callable[..., SocketTransport]
) -> AsyncIterator[Transport]:
    if request.param == "own":
        yield make_transport()
        return
    oracle = OracleTransport(Key())
    yield oracle
    await oracle.aclose()


@pytest.fixture
def own(sender: Transport) -> bool:
    return isinstance(sender, SocketTransport)


@dataclass
class Case:
    raw: bytes
    body: bytes = b"hello"
    status: int = 200
    reason: bytes = b"OK"
    length: int | None = None
    method: str = "POST"
    closes: bool = False
    """The backend closes after it."""


GOOD = {
    "a length": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", length=5),
    "no body": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", length=0),
    "chunks": Case(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n"),
    "chunks in capitals": Case(b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n00005\r\nhello\r\n0\r\n\r\n"),
    "trailers": Case(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
    "the end of the connection": Case(b"HTTP/1.1 200 OK\r\n\r\nhello", closes=True),
    "HTTP/1.0": Case(b"HTTP/1.0 200 OK\r\n\r\nhello", closes=True),
    "HTTP/1.0 with a length": Case(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", length=5, closes=True),
    "204": Case(b"HTTP/1.1 204 No Content\r\n\r\n", b"", 204, b"No Content", 0),
    "304 with a length": Case(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", 304, b"Not Modified", 0),
    "HEAD": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"", length=0, method="HEAD"),
    "an interim reply": Case(
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", length=5
    ),
    "an unasked 100": Case(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", length=5),
    "no reason": Case(b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", reason=b"", length=5),
    "an error": Case(b"HTTP/1.1 429 Slow Down\r\nContent-Length: 5\r\n\r\nhello", b"hello", 429, b"Slow Down", 5),
    "a redirect": Case(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", b"", 302, b"Found", 0),
    "a coding of its own": Case(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", b"hello", length=5
    ),
    "spaces around a value": Case(b"HTTP/1.1 200 OK\r\nContent-Length:\t 5 \t\r\n\r\nhello", length=5),
}  # fmt: skip


async def receive(sender: Transport, case: Case, *parts: bytes) -> tuple[int, bytes, int | None, bytes]:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(*parts)
        if not case.closes:
            await peer.gone()

    async with scripted(play) as backend:
        request = a_request(method=case.method)
        reply = await sender.send(backend.backend(), request, request.target, b"")
        got = Collector()
        await reply.relay(got)
        reply.close()
    return reply.status, reply.reason, reply.length, got.body


@pytest.mark.parametrize("name", GOOD)
async def test_a_reply_is_read_alike_whole_and_byte_by_byte(sender: Transport, name: str) -> None:
    case = GOOD[name]
    expected = (case.status, case.reason, case.length, case.body)
    assert await receive(sender, case, case.raw) == expected
    assert await receive(sender, case, *[case.raw[at : at + 1] for at in range(len(case.raw))]) == expected


@pytest.mark.parametrize("name", ["a length", "chunks", "trailers", "204", "an interim reply"])
async def test_a_reply_is_read_alike_when_split_at_any_byte(sender: Transport, name: str) -> None:
    case = GOOD[name]
    for at in range(1, len(case.raw)):
        seen = await receive(sender, case, case.raw[:at], case.raw[at:])
        assert seen == (case.status, case.reason, case.length, case.body), at


async def test_field_names_values_and_duplicates_stay_as_they_were_sent(sender: Transport) -> None:
    head = b"HTTP/1.1 200 OK\r\nsEt-Cookie: a=1\r\nX-Raw: \xe4\xf6\r\nSet-Cookie: b=2; Path=/\r\nEmpty:\r\n"
    async with scripted(answering(head + b"Content-Length: 0\r\n\r\n")) as backend:
        request = a_request()
        reply = await sender.send(backend.backend(), request, request.target, b"")
        assert [tuple(pair) for pair in reply.headers] == [
            (b"sEt-Cookie", b"a=1"),
            (b"X-Raw", b"\xe4\xf6"),
            (b"Set-Cookie", b"b=2; Path=/"),
            (b"Empty", b""),
            (b"Content-Length", b"0"),
        ]
        assert reply.get(b"set-cookie") == b"a=1"
        assert reply.get(b"missing") is None
        reply.close()


@dataclass
class Bad:
    raw: bytes
    oracle: str = ""
    """What aiohttp makes of it, where it does not refuse it."""


BAD = {
    "length and coding": Bad(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two lengths": Bad(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    "a negative length": Bad(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    "a garbled length": Bad(b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok"),
    "an unknown coding": Bad(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", "a body until the end"),
    "two codings": Bad(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "a chunked body"),
    "chunked in HTTP/1.0": Bad(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "a chunked body"),
    "a folded line": Bad(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", "one line"),
    "bare line feeds": Bad(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "line ends"),
    "NUL in a value": Bad(b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n"),
    "NUL in the reason": Bad(b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", "a reason"),
    "a space before the colon": Bad(b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n"),
    "HTTP/2": Bad(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "a reply"),
    "not HTTP": Bad(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "switched protocols": Bad(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", "a reply"),
    "a head beyond 64 KiB": Bad(b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"x" * 999) * 70 + b"\r\n", "a reply"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_a_malformed_head_is_refused_and_its_connection_closed(sender: Transport, own: bool, name: str) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(BAD[name].raw)
        await peer.gone()

    async with scripted(play) as backend:
        request = a_request()
        sending = asyncio.wait_for(sender.send(backend.backend(), request, request.target, b""), 30)
        if BAD[name].oracle and not own:
            reply = await sending
            reply.close()
            return
        with pytest.raises(BackendFailed) as failure:
            await sending
        assert failure.value.blame is Blame.MALFORMED
        await backend.quiet()


CUT = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "chunks, between two": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "chunks, inside one": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
    "chunks, before the last line end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
}


@pytest.mark.parametrize("name", CUT)
async def test_a_body_that_is_cut_is_handed_over_as_far_as_it_came_and_fails(sender: Transport, name: str) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CUT[name])

    async with scripted(play) as backend:
        request = a_request()
        reply = await sender.send(backend.backend(), request, request.target, b"")
        got = Collector()
        with pytest.raises(BackendFailed) as failure:
            await reply.relay(got)
        assert failure.value.blame is Blame.LOST
        assert got.body == b"hello"
        assert not reply.ended
        reply.close()


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_a_connection_that_ends_before_the_head_is_complete_is_lost(sender: Transport, raw: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(raw)

    async with scripted(play) as backend:
        request = a_request()
        with pytest.raises(BackendFailed) as failure:
            await sender.send(backend.backend(), request, request.target, b"")
        assert failure.value.blame is Blame.LOST


@pytest.mark.parametrize("behind", [b"x", b"\r\n", OK, b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n"])
async def test_what_comes_behind_a_reply_never_answers_the_next_request(
    sender: Transport, own: bool, behind: bytes
) -> None:
    if not own and behind == b"x":
        return  # aiohttp fails the reply that came before it, although it was complete
    async with scripted(answering(OK + behind, OK)) as backend:
        for _ in range(2):
            request = a_request()
            reply = await sender.send(backend.backend(), request, request.target, b"")
            got = Collector()
            await reply.relay(got)
            assert (reply.status, got.body) == (200, b"ok")
            await turns()
        assert backend.accepted == (2 if own or behind != b"\r\n" else 1)  # aiohttp skips line ends


async def test_reuse_keeps_one_connection_for_many_requests(sender: Transport) -> None:
    async with scripted(answering(OK)) as backend:
        for _ in range(20):
            request = a_request(b"{}")
            reply = await sender.send(backend.backend(), request, request.target, b"{}")
            await reply.relay(Collector())
        assert backend.accepted == 1


REQUESTS = [
    ("GET", b"", False, False, b""),
    ("POST", b"", True, False, b"Content-Length: 0\r\n"),
    ("POST", b"{}", True, False, b"Content-Length: 2\r\n"),
    ("POST", b"{}", False, True, b"Transfer-Encoding: chunked\r\n"),
]


@pytest.mark.parametrize(("method", "body", "sized", "chunked", "framing"), REQUESTS)
@pytest.mark.parametrize("target", [b"/openai/../x%2e%2e/%7Ea%2Fb?x=%3A&y=a+b", b"//evil.example/x", b"/a;b?c?d"])
async def test_the_request_arrives_as_it_was_given(
    sender: Transport, own: bool, method: str, body: bytes, sized: bool, chunked: bool, framing: bytes, target: bytes
) -> None:
    heads: list[bytes] = []

    async def play(peer: Peer) -> None:
        await peer.request()
        heads.append(peer.head)
        assert peer.body in (body, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        await peer.say(OK)
        await peer.gone()

    async with scripted(play) as backend:
        fields = [(b"X-tWo", b"1"), (b"X-tWo", b"2"), (b"Accept", b'a/b; c="d"')]
        request = a_request(body, method, fields, sized=sized, chunked=chunked)
        reply = await sender.send(backend.backend("/pre"), request, target, body)
        await reply.relay(Collector())
        host = b"127.0.0.1:%d" % backend.port
        start = b"%b /pre%b HTTP/1.1\r\nHost: %b\r\napi-key: k\r\n" % (method.encode(), target, host)
        expected = start + b'X-tWo: 1\r\nX-tWo: 2\r\nAccept: a/b; c="d"\r\n' + framing + b"\r\n"
        if own:
            assert heads == [expected]
        else:
            assert sorted(heads[0].lower().split(b"\r\n")) == sorted(expected.lower().split(b"\r\n"))
