"""Whose fault it was, and what the operator reads about it."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from scripted_backend import OK, Collector, Peer, a_request, answering, scripted

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame
from lb.wire.dial import check_shortage
from lb.wire.transport import SocketTransport

BOTH_LOOPS = True


async def failure_of(transport: SocketTransport, backend: Backend) -> BackendFailed:
    request = a_request(b"{}")
    with pytest.raises(BackendFailed) as failure:
        await asyncio.wait_for(transport.send(backend, request, request.target, b"{}"), 30)
    return failure.value


async def test_a_name_that_does_not_exist(transport: SocketTransport) -> None:
    failed = await failure_of(transport, Backend("B", "https://nobody.invalid"))
    assert failed.blame is Blame.CONNECT
    assert "the name nobody.invalid cannot be resolved" in failed.detail


async def test_a_port_where_nobody_listens(transport: SocketTransport) -> None:
    with socket.socket() as sock:  # bound, so that nobody else gets the port, and not listening
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        failed = await failure_of(transport, Backend("B", f"http://127.0.0.1:{port}"))
    assert (failed.blame, failed.detail) == (Blame.CONNECT, f"127.0.0.1:{port} refused the connection")


@contextmanager
def no_more_files() -> Iterator[None]:
    """Nothing can be opened in here; what is open stays so."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "nobody.invalid"])
async def test_no_backend_is_to_blame_when_this_process_may_open_no_more_files(
    transport: SocketTransport, host: str
) -> None:
    await asyncio.get_running_loop().run_in_executor(None, int)  # what the resolver runs in is there already
    with no_more_files():
        failed = await failure_of(transport, Backend("B", f"http://{host}:9"))
    assert failed.blame is Blame.OURS
    assert failed.detail == (
        f"no connection to {host}:9: no more files can be opened here: raise the limit, `ulimit -n`"
    )


@pytest.mark.parametrize(
    ("number", "ours"),
    [(errno.EADDRNOTAVAIL, True), (errno.ENOBUFS, True), (errno.ENFILE, True), (errno.EHOSTUNREACH, False)],
)
def test_what_this_machine_lacks_is_told_from_what_a_backend_does(number: int, ours: bool) -> None:
    error = OSError(number, os.strerror(number))
    if not ours:
        assert check_shortage(error, "east:443") is None  # type: ignore[func-returns-value]
        return
    with pytest.raises(BackendFailed) as failure:
        check_shortage(error, "east:443")
    assert (failure.value.blame, failure.value.detail[:26]) == (Blame.OURS, "no connection to east:443:")


async def test_a_port_that_accepts_no_more_in_time(make_transport: Callable[..., SocketTransport]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:  # nobody accepts, so the queue fills up and further SYNs are dropped
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        started = asyncio.get_running_loop().time()
        failed = await failure_of(make_transport(connect_seconds=0.3), Backend("B", f"http://127.0.0.1:{port}"))
        for sock in waiting:
            sock.close()
    assert (failed.blame, failed.detail) == (Blame.CONNECT, f"no connection to 127.0.0.1:{port} within 0.3 s")
    assert asyncio.get_running_loop().time() - started > 0.29


async def test_a_tls_handshake_that_is_not_answered_counts_as_no_connection(
    make_transport: Callable[..., SocketTransport],
) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.read()

    async with scripted(play) as backend:
        failed = await failure_of(make_transport(connect_seconds=0.2), backend.backend(scheme="https"))
        assert failed.blame is Blame.CONNECT
        assert "within 0.2 s" in failed.detail
        await backend.quiet()


async def test_a_backend_that_sends_nothing_is_left_after_the_idle_limit(
    make_transport: Callable[..., SocketTransport],
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    transport = make_transport(idle_seconds=0.3)
    async with scripted(play) as backend:
        started = asyncio.get_running_loop().time()
        failed = await failure_of(transport, backend.backend())
        assert failed.blame is Blame.SILENT
        assert failed.detail.endswith("sent nothing for 0.3 s")
        assert asyncio.get_running_loop().time() - started >= 0.3  # test_sweep.py says how exactly
        await backend.quiet()


async def test_a_reused_connection_that_stays_silent_is_silent_and_not_stale(
    make_transport: Callable[..., SocketTransport],
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.gone()

    transport = make_transport(idle_seconds=1)
    async with scripted(play) as backend:
        request = a_request()
        await (await transport.send(backend.backend(), request, request.target, b"")).relay(Collector())
        assert (await failure_of(transport, backend.backend())).blame is Blame.SILENT
        assert backend.accepted == 1


async def test_a_stream_that_falls_silent_fails_and_one_that_ticks_does_not(
    make_transport: Callable[..., SocketTransport],
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.25)  # the time between two events is what is tested
            await peer.say(b"1\r\nx\r\n")
        await peer.gone()

    transport = make_transport(idle_seconds=1)
    async with scripted(play) as backend:
        request = a_request()
        reply = await transport.send(backend.backend(), request, request.target, b"")
        got = Collector()
        with pytest.raises(BackendFailed) as failure:
            await reply.relay(got)
        assert failure.value.blame is Blame.SILENT
        assert got.body == b"xxxxxx"


async def test_a_paused_reply_is_never_silent(make_transport: Callable[..., SocketTransport]) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.7)  # longer than the idle limit
        await peer.say(b"cd")
        await peer.gone()

    transport = make_transport(idle_seconds=0.5)
    async with scripted(play) as backend:
        request = a_request()
        reply = await transport.send(backend.backend(), request, request.target, b"")
        reply.pause()
        got = Collector()
        relaying = asyncio.ensure_future(reply.relay(got))
        await asyncio.sleep(1.6)  # more than three idle limits
        assert not relaying.done()
        assert got.body == b"ab"
        reply.resume()
        await relaying
        assert got.body == b"abcd"


async def test_a_malformed_reply_says_what_is_wrong_with_it(transport: SocketTransport) -> None:
    async with scripted(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")) as backend:
        failed = await failure_of(transport, backend.backend())
        assert failed.blame is Blame.MALFORMED
        assert failed.detail == f"127.0.0.1:{backend.port} sent a malformed reply: Duplicate Content-Length"


async def test_a_body_that_turns_malformed_is_cut_there(transport: SocketTransport) -> None:
    async with scripted(
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n")
    ) as backend:
        request = a_request()
        reply = await transport.send(backend.backend(), request, request.target, b"")
        got = Collector()
        with pytest.raises(BackendFailed) as failure:
            await reply.relay(got)
        assert failure.value.blame is Blame.MALFORMED
        assert got.body == b"ok"
        await backend.quiet()


async def test_a_reset_instead_of_a_reply_says_so(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async with scripted(play) as backend:
        failed = await failure_of(transport, backend.backend())
        assert failed.blame is Blame.LOST
        assert "closed the connection before it replied" in failed.detail


async def test_a_reset_is_never_taken_for_the_end_of_a_body(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nbegin")
        peer.reset()

    async with scripted(play) as backend:
        request = a_request()
        reply = await transport.send(backend.backend(), request, request.target, b"")
        got = Collector()
        with pytest.raises(BackendFailed) as failure:
            await reply.relay(got)
        assert failure.value.blame is Blame.LOST
        assert got.body == b"begin"
