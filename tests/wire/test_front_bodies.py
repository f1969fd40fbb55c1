"""Request bodies: kept whole up to a size and a common budget, streamed once beyond; callers are checked before."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from lb.exchange import BodyStream, Client, ClientGone, Request
from lb.refusal import Head, Refusal
from tests.wire.front_door import GOOD, Door, RawClient, ScriptedGateway, open_door, soon, until, whole

BOTH_LOOPS = True

NO = Refusal(401, "401", "Who are you?")
EXPECTING = b"POST /v1 HTTP/1.1\r\nHost: lb\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
KIB = 1024


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door


def sized(size: int) -> bytes:
    return b"POST /v1 HTTP/1.1\r\nHost: lb\r\nContent-Length: %d\r\n\r\n" % size


CHUNKED = b"POST /v1 HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def test_a_body_that_comes_in_pieces_is_one_body(door: Door) -> None:
    client = await door.connect()
    await client.send(sized(9))
    for piece in (b"abc", b"def", b"ghi"):
        await client.send(piece)
        await asyncio.sleep(0.001)
    assert (await client.answer()).body == b"9"
    assert door.gateway.requests[0].body == b"abcdefghi"


async def test_a_chunked_body_is_one_body_that_goes_on_chunked(door: Door) -> None:
    client = await door.connect()
    raw = CHUNKED + chunk(b"abc") + b"4;x=y\r\ndefg\r\n0\r\nX-Sum: 1\r\n\r\n"
    await client.send(raw + GOOD)
    assert (await client.answer()).body == b"7"
    assert (await client.answer()).body == b"2"
    (request, _) = door.gateway.requests
    assert (request.body, request.chunked, request.sized) == (b"abcdefg", True, False)


async def test_a_chunked_body_may_be_cut_anywhere(door: Door) -> None:
    raw = CHUNKED + chunk(b"abc") + chunk(b"0\r\n\r\n") + b"0\r\nX: y\r\n\r\n"
    for at in range(len(CHUNKED), len(raw)):
        client = await door.connect()
        await client.send(raw[:at])
        await asyncio.sleep(0)
        assert (await client.ask(raw[at:])).body == b"8"
        client.close()


async def test_what_is_compressed_stays_so(door: Door) -> None:
    body = b"\x1f\x8b not even gzip"
    await door.ask(sized(len(body)).replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + body)
    assert door.gateway.requests[0].body == body


async def test_a_request_without_length_has_no_body_and_gets_none(door: Door) -> None:
    await door.ask(b"POST /v1 HTTP/1.1\r\nHost: lb\r\n\r\n")
    await door.ask(sized(0))
    first, second = door.gateway.requests
    assert (first.body, first.sized, first.chunked) == (b"", False, False)
    assert (second.body, second.sized, second.chunked) == (b"", True, False)


class Collecting:
    """Serves by taking the body as it comes, piece by piece, when told to."""

    def __init__(self, gateway: ScriptedGateway) -> None:
        self.go = asyncio.Event()
        self.got = bytearray()
        self.failure: BaseException | None = None
        gateway.serve = self.serve

    async def serve(self, request: Request, client: Client) -> None:
        assert not isinstance(request.body, bytes)
        assert request.replayable
        await self.go.wait()
        try:
            beginning = len(request.body.prefix)
            async for piece in request.body:
                self.got += piece
                assert request.replayable == (len(self.got) <= beginning), "until a byte is taken that is not kept"
        except BaseException as failure:
            self.failure = failure
            raise
        client.answer(200, (), b"%d" % len(self.got))


@pytest.mark.parametrize("framing", ["sized", "chunked"])
async def test_a_body_over_the_cap_streams_once_as_it_comes(framing: str) -> None:
    async with open_door(replay_max=10 * KIB) as door:
        collecting = Collecting(door.gateway)
        client = await door.connect()
        pieces = [bytes([65 + at]) * KIB for at in range(20)]
        await client.send(sized(20 * KIB) if framing == "sized" else CHUNKED)
        for piece in pieces[:11]:
            await client.send(piece if framing == "sized" else chunk(piece))
        await soon(door.gateway.arrived)
        stream = stream_of(door)
        assert stream.length == (20 * KIB if framing == "sized" else None)
        assert 10 * KIB < len(stream.prefix) <= 11 * KIB
        collecting.go.set()
        for piece in pieces[11:]:
            await client.send(piece if framing == "sized" else chunk(piece))
        if framing == "chunked":
            await client.send(b"0\r\n\r\n")
        assert (await client.answer()).body == b"%d" % (20 * KIB)
        assert bytes(collecting.got) == b"".join(pieces)
        assert (
            await client.ask(GOOD.replace(b"Content-Length: 2\r\n\r\n{}", b"\r\n"))
        ).status == 500  # it is no stream


def stream_of(door: Door) -> BodyStream:
    body = door.gateway.requests[0].body
    assert not isinstance(body, bytes)
    return body


async def test_a_stream_that_nobody_reads_stops_the_client_and_not_the_memory() -> None:
    async with open_door(replay_max=10 * KIB) as door:
        collecting = Collecting(door.gateway)
        client = await door.connect()
        size = 50 * KIB * KIB
        sending = asyncio.ensure_future(send_much(client, size))
        await soon(door.gateway.arrived)
        (front,) = door.server._hub.fronts
        await until(lambda: front.paused)
        assert door.server.kept_bytes < KIB * KIB
        collecting.go.set()
        assert (await client.answer()).body == b"%d" % size
        await sending


async def test_a_client_that_leaves_while_nobody_reads_its_stream_is_noticed() -> None:
    async with open_door(replay_max=10 * KIB) as door:
        Collecting(door.gateway)
        client = await door.connect()
        sending = asyncio.ensure_future(send_much(client, 50 * KIB * KIB))
        await soon(door.gateway.arrived)
        (front,) = door.server._hub.fronts
        await until(lambda: front.paused)
        sending.cancel()
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # else it waits to send the rest
        client.writer.transport.abort()
        await soon(door.gateway.settled)
        assert door.gateway.ended == ["cancelled"]


async def test_a_client_that_leaves_after_a_stream_that_ended_ahead_of_its_reader_is_noticed() -> None:
    async with open_door(replay_max=10) as door:
        Collecting(door.gateway)
        client = await door.connect()
        size = 300 * KIB
        await client.send(sized(size))
        await client.send(b"x" * 100)
        await soon(door.gateway.arrived)
        (front,) = door.server._hub.fronts
        front.data_received(b"x" * (size - 100))  # as one large read may bring it
        client.close()
        await soon(door.gateway.settled)
        assert door.gateway.ended == ["cancelled"]


async def send_much(client: RawClient, size: int) -> None:
    await client.send(sized(size))
    piece = b"x" * 64 * KIB
    for _ in range(size // len(piece)):
        await client.send(piece)


async def test_bodies_share_a_budget_and_what_exceeds_it_streams() -> None:
    async with open_door(kept_max=100 * KIB) as door:
        held = asyncio.Event()

        async def serve(request: Request, client: Client) -> None:
            await held.wait()
            client.answer(200, (), b"%d" % len(await whole(request)))

        door.gateway.serve = serve
        first, second, third = await door.connect(), await door.connect(), await door.connect()
        await first.send(sized(60 * KIB) + b"a" * 60 * KIB)
        await until(lambda: len(door.gateway.requests) == 1)
        assert door.server.kept_bytes == 60 * KIB
        await second.send(sized(60 * KIB) + b"b" * 60 * KIB)
        await until(lambda: len(door.gateway.requests) == 2)
        assert not isinstance(door.gateway.requests[1].body, bytes)
        assert door.server.kept_bytes <= 125 * KIB
        answer = await third.ask(sized(60 * KIB) + b"c" * 60 * KIB)
        assert (answer.status, answer.fields[b"retry-after"]) == (503, b"1")
        assert [facts["status"] for _, facts in door.reports] == [503]
        held.set()
        assert (await first.answer()).body == (await second.answer()).body == b"%d" % (60 * KIB)
        await until(lambda: door.server.kept_bytes == 0)


async def test_a_client_that_breaks_off_its_stream_cancels_the_request() -> None:
    async with open_door(replay_max=10) as door:
        collecting = Collecting(door.gateway)
        collecting.go.set()
        client = await door.connect()
        await client.send(sized(100) + b"x" * 50)
        await soon(door.gateway.arrived)
        client.close()
        await soon(door.gateway.settled)
        assert door.gateway.ended == ["cancelled"]
        assert isinstance(collecting.failure, asyncio.CancelledError | ClientGone)


async def test_a_reader_of_a_stream_outside_the_request_learns_that_the_client_left() -> None:
    async with open_door(replay_max=10) as door:
        reading: list[asyncio.Task[bytes]] = []

        async def serve(request: Request, client: Client) -> None:
            reading.append(asyncio.ensure_future(whole(request)))
            await asyncio.shield(reading[0])

        door.gateway.serve = serve
        client = await door.connect()
        await client.send(sized(100) + b"x" * 50)
        await soon(door.gateway.arrived)
        client.close()
        with pytest.raises(ClientGone):
            await asyncio.wait_for(reading[0], 30)


async def test_a_stream_that_turns_out_malformed_is_refused_and_cancelled() -> None:
    async with open_door(replay_max=10) as door:
        Collecting(door.gateway).go.set()
        client = await door.connect()
        await client.send(CHUNKED + chunk(b"x" * 50))
        await soon(door.gateway.arrived)
        assert (await client.ask(b"zz\r\n")).status == 400
        await soon(door.gateway.settled)
        assert door.gateway.ended == ["cancelled"]
        assert [facts["status"] for _, facts in door.reports] == [400]


async def test_a_reply_that_ends_before_the_stream_was_read_is_finished_and_the_connection_closed() -> None:
    async with open_door(replay_max=10) as door:

        async def serve(request: Request, client: Client) -> None:
            client.answer(429, (), b"too fast")

        door.gateway.serve = serve
        client = await door.connect()
        await client.send(sized(10 * KIB * KIB))
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                await client.send(b"x" * 100 * KIB)
        answer = await client.answer()
        assert (answer.status, answer.body) == (429, b"too fast")
        assert answer.fields[b"connection"] == b"close"
        assert await client.rest() == b""


async def test_after_a_stream_that_was_read_to_its_end_the_connection_lives_on() -> None:
    async with open_door(replay_max=10) as door:
        client = await door.connect()
        for _ in range(2):
            await client.send(sized(100) + b"x" * 50)
            await soon(door.gateway.arrived)
            answer = await client.ask(b"x" * 50)
            assert (answer.body, b"connection" in answer.fields) == (b"100", False)


async def test_a_known_caller_is_told_to_continue_and_then_named(door: Door) -> None:
    door.gateway.verdict = lambda head: "alice"
    client = await door.connect()
    await client.send(EXPECTING)
    assert (await client.answer()).status == 100
    assert door.gateway.requests == []
    assert (await client.ask(b"hello")).body == b"5"
    assert door.gateway.requests[0].caller == "alice"
    assert all(name.lower() != b"expect" for name, _ in door.gateway.requests[0].headers)


async def test_an_unknown_caller_gets_its_answer_without_sending_a_body(door: Door) -> None:
    door.gateway.verdict = lambda head: NO
    client = await door.connect()
    answer = await client.ask(EXPECTING)
    assert (answer.status, answer.fields[b"connection"]) == (401, b"close")
    assert await client.rest() == b""
    assert door.gateway.requests == []
    assert door.reports == [("Refused a request", {"status": 401, "reason": NO.message, "peer": "127.0.0.1"})]


async def test_an_unknown_caller_that_sends_a_large_body_anyway_still_sees_its_answer(door: Door) -> None:
    door.gateway.verdict = lambda head: NO
    client = await door.connect()
    with contextlib.suppress(ConnectionError):
        await send_much(client, 4 * KIB * KIB)
    assert (await client.answer()).status == 401
    assert door.server.kept_bytes == 0


async def test_a_caller_may_be_checked_later_and_its_body_waits(door: Door) -> None:
    verdict: asyncio.Future[str | Refusal | None] = asyncio.get_running_loop().create_future()
    door.gateway.verdict = lambda head: verdict
    client = await door.connect()
    await client.send(sized(500 * KIB))
    sending = asyncio.ensure_future(client.send(b"x" * 500 * KIB))
    await until(lambda: bool(door.gateway.heads))
    (front,) = door.server._hub.fronts
    await until(lambda: front.paused)
    verdict.set_result("bob")
    assert (await client.answer()).body == b"%d" % (500 * KIB)
    assert door.gateway.requests[0].caller == "bob"
    await sending


async def test_a_client_that_leaves_while_it_is_checked_ends_the_check(door: Door) -> None:
    verdict: asyncio.Future[str | Refusal | None] = asyncio.get_running_loop().create_future()
    door.gateway.verdict = lambda head: verdict
    client = await door.connect()
    await client.send(GOOD)
    await until(lambda: bool(door.gateway.heads))
    client.close()
    await until(lambda: door.server.connections == 0)
    await until(verdict.cancelled)
    assert door.gateway.requests == []


async def test_a_check_that_fails_later_is_a_500(door: Door) -> None:
    async def verdict(head: Head) -> str:
        raise RuntimeError("ours")

    door.gateway.verdict = verdict
    assert (await door.ask(GOOD)).status == 500
    assert len(door.reports) == 1


async def test_a_body_gives_its_memory_back_when_its_reply_begins() -> None:
    async with open_door() as door:
        kept: list[int] = []

        async def serve(request: Request, client: Client) -> None:
            kept.append(door.server.kept_bytes)
            request.forget_content()
            kept.append(door.server.kept_bytes)
            client.answer(200, (), b"")

        door.gateway.serve = serve
        await door.ask(sized(60 * KIB) + b"a" * 60 * KIB)
        assert kept == [60 * KIB, 0]
