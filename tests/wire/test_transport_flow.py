"""How a body passes: at once where it can, as slowly as the receiver wants otherwise."""

import asyncio

import pytest
from scripted_backend import OK, Collector, Peer, a_request, answering, scripted, turns

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame, ClientGone, Reply
from lb.wire.reply import HOLD_LIMIT
from lb.wire.transport import SocketTransport

BOTH_LOOPS = True
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def send(transport: SocketTransport, port: int) -> Reply:
    request = a_request()
    return await transport.send(Backend("B", f"http://127.0.0.1:{port}"), request, request.target, b"")


async def test_a_reply_that_has_come_whole_is_relayed_without_a_wait(transport: SocketTransport) -> None:
    async with scripted(answering(OK)) as backend:
        reply = await send(transport, backend.port)
        got = Collector()
        relaying = reply.relay(got)
        with pytest.raises(StopIteration):
            relaying.send(None)
        assert got.pieces == [b"ok"]


async def test_pieces_of_one_read_are_joined_and_those_of_several_are_not(transport: SocketTransport) -> None:
    ready = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        await ready.wait()
        await peer.say(b"1\r\na\r\n1\r\nb\r\n", b"1\r\nc\r\n", b"1\r\nd\r\n0\r\n\r\n")

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        got = Collector()
        relaying = asyncio.ensure_future(reply.relay(got))
        await turns()
        ready.set()
        await relaying
        assert got.pieces == [b"ab", b"c", b"d"]
        assert reply.ended


async def test_each_event_is_handed_over_as_it_arrives(transport: SocketTransport) -> None:
    go = asyncio.Semaphore(0)

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        for number in range(5):
            await go.acquire()
            await peer.say(b"1\r\n%d\r\n" % number)
        await peer.say(b"0\r\n\r\n")

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        got = Collector()
        relaying = asyncio.ensure_future(reply.relay(got))
        for number in range(5):
            assert len(got.body) == number
            go.release()
            await got.until(number + 1)
        await relaying


async def test_what_was_looked_at_first_is_relayed_all_the_same(transport: SocketTransport) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, b"1\r\na\r\n")
        await go.wait()
        await peer.say(b"1\r\nb\r\n", b"1\r\nc\r\n0\r\n\r\n")

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        assert await reply.more() == b"a"
        go.set()
        assert await reply.more() == b"b"
        got = Collector()
        await reply.relay(got)
        assert got.body == b"abc"
        assert await reply.more() == b""


async def test_looking_on_ends_with_nothing_at_the_end_and_with_the_fault_at_a_cut(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, b"1\r\na\r\n" + (b"0\r\n\r\n" if peer.number == 1 else b""))

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        assert [await reply.more(), await reply.more(), await reply.more()] == [b"a", b"", b""]
        reply = await send(transport, backend.port)
        if not reply.ended:
            assert await reply.more() == b"a"
        with pytest.raises(BackendFailed) as failure:
            await reply.more()
        assert failure.value.blame is Blame.LOST
        got = Collector()
        with pytest.raises(BackendFailed):
            await reply.relay(got)
        assert got.body == b"a"


async def sent_until_stuck(peer: Peer, size: int) -> int:
    """Write `size` bytes as chunks until the other side takes no more; the number that went."""
    piece = b"x" * 65536
    sent = 0
    while sent < size:
        peer.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        sent += len(piece)
        try:
            await asyncio.wait_for(peer.writer.drain(), 1)
        except TimeoutError:
            return sent
    return sent


FLOOD = 64 * 1024 * 1024


async def test_a_paused_receiver_stops_the_backend_and_gets_every_byte_later(transport: SocketTransport) -> None:
    stuck: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        sent = await sent_until_stuck(peer, FLOOD)
        stuck.set_result(sent)
        await peer.say(b"0\r\n\r\n")

    class Lazy(Collector):
        def data(self, chunk: bytes) -> None:
            super().data(chunk)
            if not stuck.done():
                reply.pause()

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        got = Lazy()
        relaying = asyncio.ensure_future(reply.relay(got))
        sent = await asyncio.wait_for(stuck, 30)
        assert sent < FLOOD
        assert len(got.body) < sent
        reply.resume()
        await asyncio.wait_for(relaying, 30)
        assert len(got.body) == sent


async def test_what_nobody_takes_yet_is_kept_up_to_a_limit_only(transport: SocketTransport) -> None:
    stuck: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        stuck.set_result(await sent_until_stuck(peer, FLOOD))
        await peer.say(b"0\r\n\r\n")

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        sent = await asyncio.wait_for(stuck, 30)
        assert sent < FLOOD
        first = await reply.more()
        assert HOLD_LIMIT < len(first) < sent
        seen = first + await reply.more()  # reads on, although the limit is passed
        assert len(seen) > len(first)
        got = Collector()
        await asyncio.wait_for(reply.relay(got), 30)
        assert len(got.body) == sent


async def test_a_receiver_that_pauses_at_the_last_piece_leaves_a_usable_connection(transport: SocketTransport) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await go.wait()
        await peer.say(b"ok")
        await peer.request()
        await peer.say(OK)

    class Full(Collector):
        def data(self, chunk: bytes) -> None:
            super().data(chunk)
            reply.pause()

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        relaying = asyncio.ensure_future(reply.relay(Full()))
        await turns()
        go.set()
        await relaying
        reply.resume()
        assert (await asyncio.wait_for(send(transport, backend.port), 30)).ended
        assert backend.accepted == 1


async def test_closing_a_reply_that_is_being_relayed_ends_the_relay(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, b"1\r\na\r\n")
        await peer.gone()

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        got = Collector()
        relaying = asyncio.ensure_future(reply.relay(got))
        await got.until(1)
        reply.close()
        with pytest.raises(ClientGone):
            await relaying
        await backend.quiet()


async def test_a_receiver_that_closes_the_reply_in_the_middle_of_a_piece_hears_no_more(
    transport: SocketTransport,
) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        await go.wait()
        await peer.say(b"1\r\na\r\n0\r\n\r\n")
        await peer.gone()

    class Leaving(Collector):
        def data(self, chunk: bytes) -> None:
            super().data(chunk)
            reply.close()

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        relaying = asyncio.ensure_future(reply.relay(Leaving()))
        await turns()
        go.set()
        with pytest.raises(ClientGone):
            await relaying
        await backend.quiet()


async def test_a_look_that_is_given_up_loses_no_byte(transport: SocketTransport) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, b"1\r\na\r\n")
        await go.wait()
        await peer.say(b"1\r\nb\r\n", b"1\r\nc\r\n0\r\n\r\n")

    async with scripted(play) as backend:
        reply = await send(transport, backend.port)
        assert await reply.more() == b"a"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await reply.more()
        go.set()
        assert await reply.more() == b"b"
        got = Collector()
        await reply.relay(got)
        assert got.body == b"abc"
