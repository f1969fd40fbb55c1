"""Certificates, host names, extra roots, handshakes, truncation."""

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from scripted_backend import OK, Collector, Peer, a_request, answering, scripted

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame
from lb.wire.transport import SocketTransport


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "roots.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


@pytest.fixture
def good(ca: trustme.CA) -> ssl.SSLContext:
    return server_context(ca.issue_cert("localhost", "127.0.0.1"))


async def ask(transport: SocketTransport, backend: Backend) -> bytes:
    request = a_request()
    reply = await transport.send(backend, request, request.target, b"")
    got = Collector()
    await reply.relay(got)
    return got.body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_an_extra_root_is_trusted_and_one_handshake_serves_many_requests(
    make_transport: Callable[..., SocketTransport], ca_file: str, good: ssl.SSLContext, host: str
) -> None:
    transport = make_transport(ca_file=ca_file)
    async with scripted(answering(OK), good) as backend:
        for _ in range(10):
            assert await ask(transport, backend.backend(scheme="https", host=host)) == b"ok"
    assert (transport.counters.handshakes, transport.counters.reused) == (1, 9)


async def test_ssl_cert_file_is_honoured(
    make_transport: Callable[..., SocketTransport],
    ca_file: str,
    good: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with scripted(answering(OK), good) as backend:
        assert await ask(make_transport(), backend.backend(scheme="https", host="localhost")) == b"ok"


async def refused(transport: SocketTransport, context: ssl.SSLContext | None, host: str = "localhost") -> str:
    async with scripted(answering(OK), context) as backend:
        with pytest.raises(BackendFailed) as failure:
            await asyncio.wait_for(ask(transport, backend.backend(scheme="https", host=host)), 30)
        assert failure.value.blame is Blame.TLS
        assert failure.value.detail.startswith(f"{host}:{backend.port}: ")
        await backend.quiet()
    assert transport.counters.handshakes == 0
    return failure.value.detail


async def test_an_expired_certificate_is_refused_by_name(
    make_transport: Callable[..., SocketTransport], ca: trustme.CA, ca_file: str
) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    leaf = ca.issue_cert("localhost", not_before=past, not_after=past + datetime.timedelta(days=1))
    assert "has expired" in await refused(make_transport(ca_file=ca_file), server_context(leaf))


async def test_a_certificate_for_another_host_is_refused_by_name(
    make_transport: Callable[..., SocketTransport], ca: trustme.CA, ca_file: str
) -> None:
    leaf = ca.issue_cert("other.example")
    assert "another host name" in await refused(make_transport(ca_file=ca_file), server_context(leaf))


async def test_a_certificate_for_another_address_is_refused_by_name(
    make_transport: Callable[..., SocketTransport], ca: trustme.CA, ca_file: str
) -> None:
    leaf = ca.issue_cert("localhost")
    detail = await refused(make_transport(ca_file=ca_file), server_context(leaf), "127.0.0.1")
    assert "another address" in detail


async def test_an_unknown_issuer_is_refused_by_name(transport: SocketTransport, good: ssl.SSLContext) -> None:
    assert "issuer of its certificate is not known" in await refused(transport, good)


async def test_a_port_without_tls_is_told_apart(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.read(100)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with scripted(play) as backend:
        with pytest.raises(BackendFailed) as failure:
            await ask(transport, backend.backend(scheme="https", host="localhost"))
        assert failure.value.blame is Blame.TLS
        assert "does not speak TLS" in failure.value.detail


async def test_a_connection_that_ends_in_the_handshake_is_a_tls_failure(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.read(100)
        peer.reset()

    async with scripted(play) as backend:
        with pytest.raises(BackendFailed) as failure:
            await ask(transport, backend.backend(scheme="https", host="localhost"))
        assert failure.value.blame is Blame.TLS


def test_a_file_of_roots_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SocketTransport(None, lambda: 0.0, ca_file=str(tmp_path / "missing.pem"))
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ssl.SSLError):
        SocketTransport(None, lambda: 0.0, ca_file=str(tmp_path / "empty.pem"))


@pytest.mark.parametrize("clean", [True, False])
async def test_a_body_until_the_end_of_the_connection_needs_a_clean_end_under_tls(
    make_transport: Callable[..., SocketTransport], ca_file: str, good: ssl.SSLContext, clean: bool
) -> None:
    """RFC 9112 section 9.8; an attacker can close the TCP connection, but cannot forge close_notify."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nbegin")
        if not clean:
            peer.writer.transport.abort()

    async with scripted(play, good) as backend:
        asking = ask(make_transport(ca_file=ca_file), backend.backend(scheme="https", host="localhost"))
        if clean:
            assert await asking == b"begin"
            return
        with pytest.raises(BackendFailed) as failure:
            await asking
        assert failure.value.blame is Blame.LOST


async def test_a_large_body_passes_under_tls_both_ways(
    make_transport: Callable[..., SocketTransport], ca_file: str, good: ssl.SSLContext
) -> None:
    body = bytes(range(256)) * 32 * 1024

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(peer.body) + peer.body)

    transport = make_transport(ca_file=ca_file)
    async with scripted(play, good) as backend:
        request = a_request(body)
        here = backend.backend(scheme="https", host="localhost")
        reply = await transport.send(here, request, request.target, body)
        got = Collector()
        await reply.relay(got)
        assert got.body == body
