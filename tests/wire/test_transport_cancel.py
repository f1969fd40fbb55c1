"""Leaving at any moment leaves nothing behind: no socket, no task, no connection in the pool that is not usable."""

import asyncio
import os
import ssl
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trustme
from scripted_backend import OK, Collector, Peer, a_request, scripted, turns
from test_transport_proxy import tunnel
from test_transport_uploads import Stream

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed
from lb.wire.transport import SocketTransport
from lb.wire.tunnel import Proxy

BOTH_LOOPS = True


def open_sockets() -> int:
    """Of this process. Other descriptors come and go with what the event loop opens when it first needs it."""
    count = 0
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):
            count += os.readlink(f"/dev/fd/{name}").startswith("socket:")
    return count


@types.coroutine
def cancelled_at(work: Coroutine[Any, Any, None], number: int, late: bool) -> Generator[Any, Any, bool]:
    """Run `work` and cancel it at its `number`th wait: as it begins to wait or, `late`, as what it waits for has come.
    True when it ended before that."""
    task = asyncio.current_task()
    assert task is not None
    count = 0
    step: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
    while True:
        try:
            awaited = step()
        except StopIteration:
            return count < number
        count += 1
        if count == number:
            if late and awaited is not None:
                awaited.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        try:
            yield awaited
        except BaseException as error:
            step = lambda error=error: work.throw(error)  # noqa: E731
        else:
            step = lambda: work.send(None)  # noqa: E731


async def relay_slowly(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n")
    await peer.say(b"0\r\n\r\n")
    await peer.gone()


async def swallow_slowly(peer: Peer) -> None:
    await peer.request()
    await peer.say(OK)
    await peer.gone()


@asynccontextmanager
async def scene(kind: str, make: Callable[..., SocketTransport], tmp: Any) -> AsyncIterator[Any]:
    """A transport, a backend's URL and the servers to it."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp / "ca.pem"))
    context = None
    async with AsyncExitStack() as stack:
        if kind in ("tls", "proxy"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ca.issue_cert("localhost").configure_cert(context)
        play = swallow_slowly if kind in ("stream", "upload") else relay_slowly
        servers = [await stack.enter_async_context(scripted(play, context))]
        proxy = None
        if kind == "proxy":
            servers.append(await stack.enter_async_context(scripted(tunnel)))
            proxy = Proxy.parse(f"http://127.0.0.1:{servers[1].port}")
        transport = make(ca_file=str(tmp / "ca.pem"), proxy=proxy)
        host = "127.0.0.1" if kind == "plain" else "localhost"
        backend = servers[0].backend(scheme="http" if context is None else "https", host=host)
        yield transport, backend, servers


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", ["plain", "two addresses", "tls", "proxy", "stream", "upload"])
async def test_a_request_can_be_cancelled_at_every_wait(
    make_transport: Callable[..., SocketTransport], tmp_path: Any, kind: str, late: bool
) -> None:
    async with scene(kind, make_transport, tmp_path) as (transport, backend, servers):
        number, done = 0, False
        while not done:
            number += 1
            tasks, descriptors = len(asyncio.all_tasks()), open_sockets()
            with suppress(asyncio.CancelledError):
                done = await asyncio.ensure_future(_guard(whole(transport, backend, kind), number, late))
            if not done:
                await left(transport, servers)
                assert len(asyncio.all_tasks()) == tasks, number
                assert open_sockets() == descriptors, number
        assert number > 3


async def _guard(work: Coroutine[Any, Any, None], number: int, late: bool) -> bool:
    return await cancelled_at(work, number, late)


async def whole(transport: SocketTransport, backend: Backend, kind: str) -> None:
    body = {"stream": Stream(b"x" * 1000, 5), "upload": b"x" * 1_000_000}.get(kind, b"{}")
    request = a_request(body)
    reply = await transport.send(backend, request, request.target, body)
    try:
        if kind not in ("stream", "upload"):
            assert await reply.more()
        await reply.relay(Collector())
    finally:
        reply.close()


async def left(transport: SocketTransport, servers: list[Any]) -> None:
    """Wait until nothing of the cancelled request is under way; an idle connection of an earlier one is put away."""
    transport.retire(list(transport._pools))
    for server in servers:
        await turns(10)
        await server.quiet()
    await turns(10)
    assert transport.open_connections == 0


async def test_cancelling_during_a_reused_exchange_never_hurts_the_next_user(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(OK)

    async with scripted(play) as backend:
        request = a_request()
        await (await transport.send(backend.backend(), request, request.target, b"")).relay(Collector())
        for turn in range(12):
            first = asyncio.ensure_future(transport.send(backend.backend(), request, request.target, b""))
            await turns(turn)
            first.cancel()
            got = Collector()
            await (await transport.send(backend.backend(), request, request.target, b"")).relay(got)
            assert got.body == b"ok"
            await asyncio.gather(first, return_exceptions=True)


async def test_failures_leave_nothing_behind_either(make_transport: Callable[..., SocketTransport]) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        if peer.number % 2:
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")

    transport = make_transport()
    async with scripted(play) as backend:
        tasks, descriptors = len(asyncio.all_tasks()), open_sockets()
        for _ in range(10):
            request = a_request()
            with pytest.raises(BackendFailed):
                await transport.send(backend.backend(), request, request.target, b"")
        await backend.quiet()
        await turns(10)
        assert transport.open_connections == 0
        assert len(asyncio.all_tasks()) == tasks
        assert open_sockets() == descriptors
