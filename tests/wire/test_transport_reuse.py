"""Which connection a request goes out on."""

import asyncio
from collections.abc import Callable

import pytest
from scripted_backend import OK, Collector, Peer, a_request, answering, scripted, turns

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame
from lb.wire.transport import RECENT_SECONDS, SocketTransport

BOTH_LOOPS = True


async def ask(transport: SocketTransport, backend: Backend, body: bytes = b"{}", *, once: bool = False) -> bytes:
    request = a_request(body)
    request.once = once
    reply = await transport.send(backend, request, request.target, body)
    got = Collector()
    await reply.relay(got)
    return got.body


async def test_one_connection_serves_request_after_request(transport: SocketTransport) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with scripted(answering(OK, chunked, OK, b"HTTP/1.1 204 No\r\n\r\n", OK)) as backend:
        for _ in range(10):
            await ask(transport, backend.backend())
        assert backend.accepted == 1
    assert (transport.counters.opened, transport.counters.reused) == (1, 9)


async def test_requests_at_once_have_a_connection_each_and_the_last_used_is_used_next(
    transport: SocketTransport,
) -> None:
    numbers: list[int] = []

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            numbers.append(peer.number)
            await peer.say(OK)

    async with scripted(play) as backend:
        await asyncio.gather(*[ask(transport, backend.backend()) for _ in range(5)])
        assert sorted(numbers) == [1, 2, 3, 4, 5]
        numbers.clear()
        for _ in range(5):
            await ask(transport, backend.backend())
        assert len(set(numbers)) == 1


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_connection_that_ended_while_idle_is_not_used_again(transport: SocketTransport, end: str) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number == 1:
            getattr(peer, end)()
        else:
            await peer.gone()

    async with scripted(play) as backend:
        await ask(transport, backend.backend())
        await backend.quiet()
        await turns()
        assert await ask(transport, backend.backend()) == b"ok"
    assert transport.counters.reused == 0
    assert transport.counters.replaced == 0


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_connection_that_ends_as_the_request_arrives_is_replaced_unseen(
    transport: SocketTransport, end: str
) -> None:
    requests: list[bytes] = []

    async def play(peer: Peer) -> None:
        requests.append(await peer.request())
        await peer.say(OK)
        if peer.number == 1:
            await peer.request()
            getattr(peer, end)()
        else:
            await peer.gone()

    async with scripted(play) as backend:
        for body in (b"first", b"second"):
            assert await ask(transport, backend.backend(), body) == b"ok"
        assert backend.accepted == 2
        assert requests[1].endswith(b"second")
    assert transport.counters.replaced == 1


async def test_what_must_not_be_made_twice_is_not_sent_again(transport: SocketTransport) -> None:
    requests = 0

    async def play(peer: Peer) -> None:
        nonlocal requests
        await peer.request()
        await peer.say(OK)
        await peer.request()
        requests += 1

    async with scripted(play) as backend:
        await ask(transport, backend.backend())
        with pytest.raises(BackendFailed) as failure:
            await ask(transport, backend.backend(), once=True)
        assert failure.value.blame is Blame.LOST
        assert (backend.accepted, requests) == (1, 1)


async def test_what_must_not_be_made_twice_goes_out_on_a_connection_that_is_not_stale(
    transport: SocketTransport,
) -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(OK)

    async with scripted(play) as backend:
        for _ in range(2):
            await ask(transport, backend.backend(), once=True)
        assert backend.accepted == 1
        (connection,) = transport._sweep.connections
        connection.quiet = RECENT_SECONDS + 1
        await ask(transport, backend.backend(), once=True)
        assert backend.accepted == 2


async def test_it_is_replaced_once_and_never_twice(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.say(OK)
            await peer.request()

    async with scripted(play) as backend:
        await ask(transport, backend.backend())
        with pytest.raises(BackendFailed) as failure:
            await ask(transport, backend.backend())
        assert failure.value.blame is Blame.LOST
        assert backend.accepted == 2


async def test_a_new_connection_that_ends_without_a_reply_is_not_replaced(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()

    async with scripted(play) as backend:
        with pytest.raises(BackendFailed, match="before it replied"):
            await ask(transport, backend.backend())
        assert backend.accepted == 1


async def test_after_the_first_byte_of_a_reply_nothing_is_replaced(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.say(b"H")

    async with scripted(play) as backend:
        await ask(transport, backend.backend())
        with pytest.raises(BackendFailed) as failure:
            await ask(transport, backend.backend())
        assert failure.value.blame is Blame.LOST
        assert backend.accepted == 1


async def test_data_that_nobody_asked_for_ends_an_idle_connection(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.say(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await peer.gone()

    async with scripted(play) as backend:
        await ask(transport, backend.backend())
        await backend.quiet()
        assert await ask(transport, backend.backend()) == b"ok"
        assert backend.accepted == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"x",
        OK + b"\r\n",
        OK + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
    ],
)
async def test_a_connection_that_must_not_be_used_again_is_closed_by_us(
    transport: SocketTransport, reply: bytes
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(reply)
        await peer.gone()

    async with scripted(play) as backend:
        assert await ask(transport, backend.backend()) == b"ok"
        await backend.quiet()
        assert await ask(transport, backend.backend()) == b"ok"
        assert backend.accepted == 2


async def test_an_unread_reply_that_is_closed_takes_its_connection_along(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        await peer.gone()

    async with scripted(play) as backend:
        request = a_request()
        reply = await transport.send(backend.backend(), request, request.target, b"")
        reply.close()
        reply.close()
        await backend.quiet()


async def test_a_reply_that_has_come_whole_frees_its_connection_even_if_nobody_reads_it(
    transport: SocketTransport,
) -> None:
    async with scripted(answering(OK)) as backend:
        for _ in range(3):
            request = a_request()
            reply = await transport.send(backend.backend(), request, request.target, b"")
            assert reply.ended
            reply.close()
        assert backend.accepted == 1


async def test_closing_an_old_reply_does_not_hurt_the_request_that_has_its_connection_now(
    transport: SocketTransport,
) -> None:
    async with scripted(answering(OK)) as backend:
        request = a_request()
        first = await transport.send(backend.backend(), request, request.target, b"")
        second = asyncio.ensure_future(transport.send(backend.backend(), request, request.target, b""))
        await asyncio.sleep(0)
        first.pause()
        first.close()
        got = Collector()
        await (await second).relay(got)
        assert got.body == b"ok"
        assert backend.accepted == 1


async def test_an_unused_connection_is_closed_after_its_limit(make_transport: Callable[..., SocketTransport]) -> None:
    transport = make_transport(keep_seconds=0.1)
    async with scripted(answering(OK)) as backend:
        await ask(transport, backend.backend())
        await backend.quiet()
        await ask(transport, backend.backend())
        assert backend.accepted == 2


async def test_a_connection_in_use_all_the_time_is_closed_after_its_lifetime(
    make_transport: Callable[..., SocketTransport],
) -> None:
    transport = make_transport(lifetime_seconds=0.1)
    async with scripted(answering(OK)) as backend:
        while backend.accepted < 3:
            assert await ask(transport, backend.backend()) == b"ok"
            await asyncio.sleep(0.001)
    assert transport.counters.reused > 3


async def test_a_removed_backend_loses_its_idle_connections_and_finishes_what_runs(transport: SocketTransport) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        if peer.number == 2:
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await go.wait()
            await peer.say(b"ok")
        else:
            await peer.say(OK)
        await peer.gone()

    async with scripted(play) as backend:
        request = a_request()
        first, running = await asyncio.gather(
            *[transport.send(backend.backend(), request, request.target, b"") for _ in range(2)]
        )
        transport.retire([backend.backend().url, "https://never.seen"])
        while backend.open > 1:
            await turns()
        go.set()
        got = Collector()
        await (first if running.ended else running).relay(got)
        assert got.body == b"ok"
        await backend.quiet()


async def test_a_backend_that_stays_keeps_its_connections(transport: SocketTransport) -> None:
    async with scripted(answering(OK)) as staying, scripted(answering(OK)) as going:
        for backend in (staying, going):
            await ask(transport, backend.backend())
        transport.retire([going.backend().url])
        await going.quiet()
        await ask(transport, staying.backend())
        assert staying.accepted == 1


async def test_closing_the_transport_closes_everything(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK if peer.number == 1 else b"HTTP/1.1 200 OK\r\n\r\nbegin")
        await peer.gone()

    async with scripted(play) as backend:
        request = a_request()
        await asyncio.gather(*[transport.send(backend.backend(), request, request.target, b"") for _ in range(2)])
        transport.close()
        await backend.quiet()
