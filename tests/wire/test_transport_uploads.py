"""Large bodies: sent as fast as the backend reads, while an early answer is heard."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from scripted_backend import OK, Collector, Peer, a_request, scripted, turns

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame, ClientGone, Reply
from lb.wire.transport import SocketTransport

BOTH_LOOPS = True
MiB = 1024 * 1024
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow"


class Stream:
    """A body that is read once, `count` pieces of `piece`; the last one waits for `gate`."""

    def __init__(self, piece: bytes, count: int, *, sized: bool = True, gate: asyncio.Event | None = None) -> None:
        self.length = len(piece) * count if sized else None
        self.prefix = piece
        self.started = False
        self.given = 0
        self.ended: BaseException | None = None
        self.error: Exception | None = None
        self._piece, self._count, self._gate = piece, count, gate

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.started = True
        try:
            for number in range(self._count):
                if self._gate is not None and number == self._count - 1:
                    await self._gate.wait()
                yield self._piece
                self.given += 1
                await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
        except BaseException as error:
            self.ended = error
            raise


async def send(transport: SocketTransport, port: int, body: bytes | Stream, chunked: bool = False) -> Reply:
    request = a_request(body, chunked=chunked)
    return await transport.send(Backend("B", f"http://127.0.0.1:{port}"), request, request.target, body)


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 32 * MiB])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_buffered_body_of_any_size_arrives_whole(transport: SocketTransport, size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        if chunked:
            assert await peer.reader.readuntil(b"\r\n") == b"%x\r\n" % size
        else:
            assert b"Content-Length: %d\r\n" % size in head
        seen.append(await peer.reader.readexactly(size))
        if chunked:
            assert await peer.reader.readexactly(7) == b"\r\n0\r\n\r\n"
        await peer.say(OK)
        await peer.request()
        await peer.say(OK)

    async with scripted(play) as backend:
        await (await send(transport, backend.port, body, chunked)).relay(Collector())
        assert seen == [body]
        await (await send(transport, backend.port, b"")).relay(Collector())
        assert backend.accepted == 1


@pytest.mark.parametrize("sized", [True, False])
async def test_a_streamed_body_arrives_whole_and_in_its_framing(transport: SocketTransport, sized: bool) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        if sized:
            assert b"\r\nContent-Length: 400000\r\n" in head
            seen.append(await peer.reader.readexactly(400_000))
        else:
            assert b"\r\nTransfer-Encoding: chunked\r\n" in head
            while (size := int(await peer.reader.readuntil(b"\r\n"), 16)) > 0:
                seen.append(await peer.reader.readexactly(size))
                assert await peer.reader.readexactly(2) == b"\r\n"
            assert await peer.reader.readexactly(2) == b"\r\n"
        await peer.say(OK)

    async with scripted(play) as backend:
        stream = Stream(b"0123456789" * 400, 100, sized=sized)
        await (await send(transport, backend.port, stream)).relay(Collector())
        assert b"".join(seen) == b"0123456789" * 40_000
        assert stream.started


async def test_a_streamed_body_is_read_no_faster_than_the_backend_takes_it(transport: SocketTransport) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await go.wait()
        await peer.reader.readexactly(64 * MiB)
        await peer.say(OK)

    async with scripted(play) as backend:
        stream = Stream(b"x" * 65536, 1024)
        sending = asyncio.ensure_future(send(transport, backend.port, stream))
        last = -1
        while stream.given != last or stream.given == 0:
            last = stream.given
            await turns(50)
        assert stream.given < 512
        go.set()
        await (await sending).relay(Collector())
        assert stream.given == 1024


async def test_a_body_that_can_be_sent_once_is_not_risked_on_a_used_connection(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number == 1:
            await peer.request()
        else:
            await peer.gone()

    async with scripted(play) as backend:
        await (await send(transport, backend.port, b"{}")).relay(Collector())
        assert (await send(transport, backend.port, Stream(b"x" * 10, 3))).status == 200
        assert backend.accepted == 2


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("end", ["waits", "closes", "resets"])
async def test_an_early_refusal_is_heard_and_the_rest_of_the_body_is_not_sent(
    transport: SocketTransport, streamed: bool, end: str
) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.reader.readexactly(MiB)
        await peer.say(REFUSAL)
        if end == "waits":
            while await peer.reader.read(65536):
                pass
        elif end == "resets":
            await turns(20)
            peer.reset()

    async with scripted(play) as backend:
        body = Stream(b"x" * 65536, 20 * 16) if streamed else b"x" * (20 * MiB)
        reply = await asyncio.wait_for(send(transport, backend.port, body), 30)
        assert (reply.status, reply.get(b"retry-after")) == (429, b"7")
        got = Collector()
        await asyncio.wait_for(reply.relay(got), 30)
        assert got.body == b"slow"
        await backend.quiet()
        if isinstance(body, Stream):
            await turns()
            assert body.given < 320


async def test_an_early_success_lets_the_body_go_on(transport: SocketTransport) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        seen.append(await peer.reader.readexactly(8 * MiB))
        await peer.say(b"lf")

    async with scripted(play) as backend:
        reply = await send(transport, backend.port, Stream(b"x" * 65536, 128))
        got = Collector()
        await reply.relay(got)
        assert got.body == b"half"
        assert len(seen[0]) == 8 * MiB


async def test_a_reply_that_ends_before_its_request_does_takes_the_connection_along(transport: SocketTransport) -> None:
    gate = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(OK)
        while await peer.reader.read(65536):
            pass

    async with scripted(play) as backend:
        stream = Stream(b"x", 3, gate=gate)
        reply = await send(transport, backend.port, stream)
        await reply.relay(Collector())
        await backend.quiet()
        await turns()
        assert isinstance(stream.ended, asyncio.CancelledError)


async def test_the_clients_failure_while_it_sends_is_not_the_backends(transport: SocketTransport) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.read()

    async with scripted(play) as backend:
        stream = Stream(b"x", 3, sized=False)
        stream.error = ClientGone("it left")
        with pytest.raises(ClientGone, match="it left"):
            await send(transport, backend.port, stream)
        await backend.quiet()


@pytest.mark.parametrize(("claimed", "what"), [(2, "longer"), (4, "shorter")])
async def test_a_body_of_another_length_than_it_says_never_becomes_a_second_request(
    transport: SocketTransport, claimed: int, what: str
) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        seen.append(await peer.reader.read())

    async with scripted(play) as backend:
        stream = Stream(b"x", 3)
        stream.length = claimed
        with pytest.raises(RuntimeError, match=what):
            await send(transport, backend.port, stream)
        await backend.quiet()
        assert len(seen[0]) <= claimed


async def test_a_client_that_sends_slowly_does_not_make_the_backend_silent(
    make_transport: Callable[..., SocketTransport],
) -> None:
    transport = make_transport(idle_seconds=0.5)
    gate = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)

    async with scripted(play) as backend:
        sending = asyncio.ensure_future(send(transport, backend.port, Stream(b"x", 3, gate=gate)))
        await asyncio.sleep(1.5)  # three idle limits
        assert not sending.done()
        gate.set()
        assert (await sending).status == 200


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_backend_that_does_not_read_is_left_after_the_idle_limit(
    make_transport: Callable[..., SocketTransport], streamed: bool
) -> None:
    transport = make_transport(idle_seconds=0.2)
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await go.wait()

    async with scripted(play) as backend:
        body = Stream(b"x" * 65536, 512) if streamed else b"x" * (32 * MiB)
        with pytest.raises(BackendFailed) as failure:
            await asyncio.wait_for(send(transport, backend.port, body), 30)
        assert failure.value.blame is Blame.SILENT
        go.set()
