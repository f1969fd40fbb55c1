"""What arrives at the backend, byte for byte."""

from collections.abc import Callable

import pytest
from scripted_backend import OK, Collector, Peer, a_request, answering, scripted

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame, Headers, Request
from lb.wire.address import Address
from lb.wire.request_writer import render_head
from lb.wire.transport import SocketTransport

HERE = Address.parse("https://east.openai.azure.com/base")


def head(request: Request, target: bytes = b"/x", body: bytes | None = None) -> bytes:
    return render_head(HERE, b"api-key: k\r\n", request, target, request.body if body is None else body)


def test_the_head_is_request_line_host_credential_fields_framing() -> None:
    fields = [(b"uSer-aGent", b"x"), (b"X-Raw", b"\xe4"), (b"x-raw", b"2"), (b"X-Raw", b"3")]
    assert head(a_request(b"{}", headers=fields), b"/openai/v1/responses?x=%2F") == (
        b"POST /base/openai/v1/responses?x=%2F HTTP/1.1\r\nHost: east.openai.azure.com\r\napi-key: k\r\n"
        b"uSer-aGent: x\r\nX-Raw: \xe4\r\nx-raw: 2\r\nX-Raw: 3\r\nContent-Length: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("request_", "framing"),
    [
        (a_request(b"", "GET", sized=False), b""),
        (a_request(b"", "POST", sized=False), b""),
        (a_request(b"", "POST", sized=True), b"Content-Length: 0\r\n"),
        (a_request(b"{}", "POST", sized=False), b"Content-Length: 2\r\n"),
        (a_request(b"{}", "POST", chunked=True), b"Transfer-Encoding: chunked\r\n"),
        (a_request(b"", "POST", chunked=True), b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_a_body_is_framed_as_the_client_framed_it(request_: Request, framing: bytes) -> None:
    assert head(request_).endswith(b"api-key: k\r\n" + framing + b"\r\n")


def test_the_length_is_that_of_the_body_that_is_sent() -> None:
    assert b"Content-Length: 7\r\n" in head(a_request(b"{}"), body=b"{'abc'}")


@pytest.mark.parametrize("target", [b"/?", b"//evil.example/x", b"/..//%2e%2e/%7Ea", b"/\xc3\xa4?\xff", b"/a#b", b"/"])
def test_any_other_target_is_passed_byte_for_byte(target: bytes) -> None:
    assert head(a_request(), target).startswith(b"POST /base" + target + b" HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "target", [b"", b"x", b"http://evil.example/", b"/ HTTP/1.1\r\nA: b", b"/\r\nA: b", b"/a b", b"/\n", b" /", b"/a\t"]
)
def test_a_target_that_could_end_the_request_line_is_refused(target: bytes) -> None:
    with pytest.raises(ValueError, match="target"):
        head(a_request(), target)


@pytest.mark.parametrize(
    ("url", "authority", "host", "port", "tls", "prefix"),
    [
        ("https://a.openai.azure.com", b"a.openai.azure.com", "a.openai.azure.com", 443, True, b""),
        ("https://a.example:443/", b"a.example", "a.example", 443, True, b""),
        ("http://a.example:443/p/q/", b"a.example:443", "a.example", 443, False, b"/p/q"),
        ("http://127.0.0.1:8080", b"127.0.0.1:8080", "127.0.0.1", 8080, False, b""),
        ("http://[::1]:81/x", b"[::1]:81", "::1", 81, False, b"/x"),
        ("https://bücher.example", b"xn--bcher-kva.example", "xn--bcher-kva.example", 443, True, b""),
    ],
)
def test_a_backend_url_becomes_an_address(
    url: str, authority: bytes, host: str, port: int, tls: bool, prefix: bytes
) -> None:
    address = Address.parse(url)
    assert address == Address(host, port, tls, authority, prefix)


@pytest.mark.parametrize("url", ["ftp://a", "//a", "https://", "https://u:p@a", "https://a?x=y", "https://a/#f"])
def test_what_is_no_backend_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Address.parse(url)


async def test_a_buffered_body_that_goes_chunked_is_one_chunk(transport: SocketTransport) -> None:
    bodies: list[bytes] = []

    async def play(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            bodies.append(peer.body)
            await peer.say(OK)

    async with scripted(play) as backend:
        for body in (b"x" * 17, b""):
            request = a_request(body, chunked=True)
            reply = await transport.send(backend.backend(), request, request.target, body)
            await reply.relay(Collector())
    assert bodies == [b"11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n", b"0\r\n\r\n"]


async def test_head_and_small_body_arrive_in_one_piece(transport: SocketTransport) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        seen.append(await peer.reader.read(65536))
        await peer.say(OK)

    async with scripted(play) as backend:
        request = a_request(b"{}" * 500)
        (await transport.send(backend.backend(), request, request.target, b"{}" * 500)).close()
    assert seen[0].endswith(b"\r\n\r\n" + b"{}" * 500)


class SlowToken:
    """A credential that has to be fetched once, and fails when told so."""

    def __init__(self, failure: BackendFailed | None = None) -> None:
        self.line: bytes | None = None
        self.fetched = 0
        self.failure = failure

    def ready(self, backend: Backend) -> bytes | None:
        return self.line

    async def fetch(self, backend: Backend) -> bytes:
        self.fetched += 1
        if self.failure:
            raise self.failure
        self.line = b"Authorization: Bearer t\r\n"
        return self.line


async def test_a_token_is_waited_for_only_when_it_is_not_at_hand(
    make_transport: Callable[..., SocketTransport],
) -> None:
    token = SlowToken()
    transport = make_transport(token)
    heads: list[bytes] = []

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            heads.append(peer.head)
            await peer.say(OK)

    async with scripted(play) as backend:
        for _ in range(3):
            request = a_request()
            await (await transport.send(backend.backend(), request, request.target, b"")).relay(Collector())
    assert token.fetched == 1
    assert all(b"\r\nAuthorization: Bearer t\r\n" in head for head in heads)


async def test_without_a_token_nothing_is_sent_and_no_connection_made(
    make_transport: Callable[..., SocketTransport],
) -> None:
    transport = make_transport(SlowToken(BackendFailed(Blame.TOKEN, "no token")))
    async with scripted(answering(OK)) as backend:
        request = a_request()
        with pytest.raises(BackendFailed) as failure:
            await transport.send(backend.backend(), request, request.target, b"")
        assert failure.value.blame is Blame.TOKEN
        assert backend.accepted == 0


async def test_interim_replies_are_told_with_their_request(make_transport: Callable[..., SocketTransport]) -> None:
    told: list[tuple[int, Headers]] = []
    transport = make_transport()
    async with scripted(answering(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)) as backend:
        request = a_request()
        request.interim = lambda status, headers: told.append((status, headers))
        reply = await transport.send(backend.backend(), request, request.target, b"")
        await reply.relay(Collector())
    assert told == [(103, [(b"Link", b"</a>")])]
