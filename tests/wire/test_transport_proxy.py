"""Backends behind an HTTP proxy."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from scripted_backend import OK, Collector, Peer, Scripted, a_request, answering, scripted

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame
from lb.wire.transport import SocketTransport
from lb.wire.tunnel import Proxy

BOTH_LOOPS = True


async def tunnel(peer: Peer, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
    """Answer CONNECT and carry bytes to where it says, on this machine."""
    await peer.request()
    await peer.say(answer)
    port = int(peer.head.split()[1].rpartition(b":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            sink.write(piece)
        sink.close()

    try:
        await asyncio.gather(carry(peer.reader, writer), carry(reader, peer.writer))
    finally:
        writer.close()


@asynccontextmanager
async def secure_backend(ca: trustme.CA):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("backend.test", "localhost").configure_cert(context)
    async with scripted(answering(OK), context) as backend:
        yield backend


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


async def ask(transport: SocketTransport, backend: Backend) -> bytes:
    request = a_request()
    reply = await asyncio.wait_for(transport.send(backend, request, request.target, b""), 30)
    got = Collector()
    await reply.relay(got)
    return got.body


async def test_a_backend_is_reached_by_name_through_the_proxy(
    make_transport: Callable[..., SocketTransport], ca: trustme.CA, tmp_path
) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    heads: list[bytes] = []

    async def play(peer: Peer) -> None:
        await tunnel(peer)
        heads.append(peer.head)

    async with secure_backend(ca) as backend, scripted(play) as proxy:
        through = Proxy.parse(f"http://us%40er:p%3Aw@127.0.0.1:{proxy.port}")
        transport = make_transport(proxy=through, ca_file=str(tmp_path / "ca.pem"))
        for _ in range(3):
            assert await ask(transport, Backend("B", f"https://backend.test:{backend.port}")) == b"ok"
        assert proxy.accepted == 1
        transport.close()
        await proxy.quiet()
        authority = b"backend.test:%d" % backend.port
        secret = b64encode(b"us@er:p:w")
        assert heads == [
            b"CONNECT %b HTTP/1.1\r\nHost: %b\r\nProxy-Authorization: Basic %b\r\n\r\n" % (authority, authority, secret)
        ]


async def test_the_certificate_is_checked_behind_the_proxy_too(
    make_transport: Callable[..., SocketTransport], ca: trustme.CA
) -> None:
    async with secure_backend(ca) as backend, scripted(tunnel) as proxy:
        transport = make_transport(proxy=Proxy.parse(f"http://127.0.0.1:{proxy.port}"))
        with pytest.raises(BackendFailed) as failure:
            await ask(transport, Backend("B", f"https://backend.test:{backend.port}"))
        assert failure.value.blame is Blame.TLS


async def failure_through(make_transport: Callable[..., SocketTransport], proxy: Scripted) -> BackendFailed:
    transport = make_transport(proxy=Proxy.parse(f"http://user:secret@127.0.0.1:{proxy.port}"), connect_seconds=1)
    with pytest.raises(BackendFailed) as failure:
        await ask(transport, Backend("B", "https://backend.test"))
    assert failure.value.blame is Blame.CONNECT
    assert "secret" not in failure.value.detail
    await proxy.quiet()
    return failure.value


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "asks for other credentials (407)",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\nno such host", "answered 502"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "sent more than its answer"),
        (b"SSH-2.0-x\r\n\r\n", "did not answer as a proxy does"),
        (b"HTTP/1.1 200 OK\r\n", "did not answer as a proxy does"),
        (b"", "did not answer as a proxy does"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000, "did not answer as a proxy does"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_named(
    make_transport: Callable[..., SocketTransport], answer: bytes, what: str
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)

    async with scripted(play) as proxy:
        failed = await failure_through(make_transport, proxy)
        assert failed.detail == f"no tunnel to backend.test:443: the proxy 127.0.0.1:{proxy.port} {what}"


async def test_a_proxy_that_never_answers_is_left_after_the_connect_limit(
    make_transport: Callable[..., SocketTransport],
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with scripted(play) as proxy:
        assert "within 1 s" in (await failure_through(make_transport, proxy)).detail


async def test_backends_without_tls_and_exceptions_go_without_the_proxy(
    make_transport: Callable[..., SocketTransport], ca: trustme.CA, tmp_path
) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    nowhere = Proxy.parse("http://127.0.0.1:9", "localhost")
    transport = make_transport(proxy=nowhere, ca_file=str(tmp_path / "ca.pem"))
    async with secure_backend(ca) as secure, scripted(answering(OK)) as plain:
        assert await ask(transport, plain.backend()) == b"ok"
        assert await ask(transport, secure.backend(scheme="https", host="localhost")) == b"ok"


@pytest.mark.parametrize(
    ("no_proxy", "host", "skipped"),
    [
        ("", "a.example", False),
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("A.Example", "a.EXAMPLE", True),
        ("example", "a.example", True),
        (".example", "a.example", True),
        ("*.example", "a.example", True),
        ("ample", "a.example", False),
        ("b.example, a.example ", "a.example", True),
        ("a.example:443", "a.example", True),
        ("a.example:444", "a.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("2.3", "10.1.2.3", False),
        ("::1", "::1", True),
        ("fd00::/8", "fd12::1", True),
        ("[fd12::1]:443", "fd12::1", True),
    ],
)
def test_exceptions_from_the_proxy(no_proxy: str, host: str, skipped: bool) -> None:
    assert Proxy.parse("proxy:3128", no_proxy).skips(host, 443) is skipped


@pytest.mark.parametrize("url", ["https://proxy:3128", "socks5://proxy", "http://", "http://proxy:port"])
def test_a_proxy_that_cannot_be_used_is_a_problem_of_the_configuration(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Proxy.parse(url)


def test_a_proxys_password_is_not_shown() -> None:
    assert "secret" not in repr(Proxy.parse("http://user:secret@proxy"))
