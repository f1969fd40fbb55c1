"""What the client gets of a backend's reply: everything, unchanged, and never more than came."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lb.exchange import Client, ClientGone, Request
from tests.wire.front_door import GOOD, Door, RawClient, ScriptedReply, open_door, relaying, soon, until

BOTH_LOOPS = True

MODERN = b"GET /v1 HTTP/1.1\r\nHost: lb\r\n\r\n"
OLD = b"GET /v1 HTTP/1.0\r\n\r\n"
OLD_KEEPING = b"GET /v1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
HEAD = b"HEAD /v1 HTTP/1.1\r\nHost: lb\r\n\r\n"


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door


async def test_the_replys_fields_pass_in_order_and_spelling_less_hop_by_hop(door: Door) -> None:
    headers = (
        (b"X-Ratelimit-Remaining-Tokens", b"99"),
        (b"SET-cookie", b"a=1"),
        (b"Connection", b"keep-alive, X-Hop"),
        (b"Keep-Alive", b"timeout=5"),
        (b"x-hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Trailer", b"X-Sum"),
        (b"Upgrade", b"h2"),
        (b"set-Cookie", b"b=2"),
        (b"Server", b"azure"),
        (b"X-Odd", b"\xe4\xf6"),
    )
    reply = ScriptedReply(b"x", headers=headers)
    reply.reason = b"Very Well"
    reply.status = 299
    door.gateway.serve = relaying(reply, b"x-lb-backend: B1\r\n")
    client = await door.connect()
    answer = await client.ask(MODERN)
    assert answer.head == (
        b"HTTP/1.1 299 Very Well\r\nX-Ratelimit-Remaining-Tokens: 99\r\nSET-cookie: a=1\r\nset-Cookie: b=2\r\n"
        b"Server: azure\r\nX-Odd: \xe4\xf6\r\nx-lb-backend: B1\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert answer.body == b"x"


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(
    ("raw", "length", "framing", "keeps"),
    [
        (MODERN, 6, b"Content-Length: 6\r\n", True),
        (MODERN, None, b"Transfer-Encoding: chunked\r\n", True),
        (OLD, 6, b"Content-Length: 6\r\nConnection: close\r\n", False),
        (OLD, None, b"Connection: close\r\n", False),
        (OLD_KEEPING, 6, b"Content-Length: 6\r\nConnection: keep-alive\r\n", True),
        (OLD_KEEPING, None, b"Connection: close\r\n", False),
        (MODERN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), None, b"Connection: close\r\n", False),
    ],
)
async def test_a_body_is_framed_as_its_length_and_the_client_allow(
    door: Door, raw: bytes, length: int | None, framing: bytes, keeps: bool, ended: bool
) -> None:
    reply = ScriptedReply(b"abc", b"def", length=length, ended=ended)
    door.gateway.serve = relaying(reply)
    client = await door.connect()
    await client.send(raw)
    await soon(door.gateway.arrived)
    if not ended:
        asyncio.get_running_loop().call_later(0.01, reply.end)
    answer = await client.answer()
    assert answer.body == b"abcdef"
    assert answer.head.endswith(framing + b"\r\n")
    assert (b"chunked" in answer.head) == (b"HTTP/1.1" in raw and length is None)
    if keeps:
        door.gateway.serve = relaying(ScriptedReply(b"again", length=5))
        assert (await client.ask(raw)).body == b"again"
    else:
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("raw", "status", "headers", "fields"),
    [
        (HEAD, 200, ((b"Content-Length", b"99"),), b"Content-Length: 99\r\n"),
        (HEAD, 200, ((b"Transfer-Encoding", b"chunked"),), b""),
        (MODERN, 304, ((b"Content-Length", b"99"), (b"ETag", b"x")), b"Content-Length: 99\r\nETag: x\r\n"),
        (MODERN, 204, ((b"Content-Length", b"0"),), b""),
        (MODERN, 204, (), b""),
    ],
)
async def test_replies_without_a_body_have_none(
    door: Door, raw: bytes, status: int, headers: tuple[tuple[bytes, bytes], ...], fields: bytes
) -> None:
    reply = ScriptedReply(status=status, headers=headers)
    reply.length = 0
    door.gateway.serve = relaying(reply)
    client = await door.connect()
    await client.send(raw + raw)
    for _ in range(2):
        answer = await client.answer(bodiless=True)
        assert answer.head == b"HTTP/1.1 %d OK\r\n" % status + fields + b"\r\n"


async def test_a_length_that_came_twice_goes_out_once(door: Door) -> None:
    reply = ScriptedReply(b"ab", headers=((b"content-length", b"2"),), length=2)
    door.gateway.serve = relaying(reply)
    assert (await door.ask(MODERN)).head.lower().count(b"content-length") == 1


async def test_a_whole_reply_is_one_write(door: Door) -> None:
    door.gateway.serve = relaying(ScriptedReply(b"a" * 10, b"b" * 10))
    client = await door.connect()
    await client.send(MODERN)
    assert await read_once(client) == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\naaaaaaaaaabbbbbbbbbb\r\n0\r\n\r\n"
    )


async def test_the_head_of_a_stream_goes_out_with_what_is_there_of_its_body(door: Door) -> None:
    door.gateway.serve = relaying(ScriptedReply(b"event", ended=False))
    client = await door.connect()
    await client.send(MODERN)
    assert await read_once(client) == (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n")


async def read_once(client: RawClient) -> bytes:
    return await asyncio.wait_for(client.reader.read(100_000), 30)


async def test_each_piece_goes_out_as_it_comes(door: Door) -> None:
    reply = ScriptedReply(ended=False)
    door.gateway.serve = relaying(reply)
    client = await door.connect()
    await client.send(MODERN)
    await client.head()
    for number in range(100):
        reply.feed(b"data: %d\n\n" % number)
        assert await client.chunk() == b"data: %d\n\n" % number
    reply.end()
    assert await client.chunk() == b""


async def test_an_empty_piece_is_not_the_end(door: Door) -> None:
    reply = ScriptedReply(b"a", b"", ended=False)
    door.gateway.serve = relaying(reply)
    client = await door.connect()
    await client.send(MODERN)
    await client.head()
    assert await client.chunk() == b"a"
    reply.feed(b"")
    reply.feed(b"b")
    assert await client.chunk() == b"b"


@pytest.mark.parametrize("size", [1, 64 * 1024, 64 * 1024 + 1, 3_000_000])
async def test_pieces_of_any_size_arrive_unchanged(door: Door, size: int) -> None:
    piece = bytes(range(256)) * (size // 256 + 1)
    reply = ScriptedReply(ended=False)
    door.gateway.serve = relaying(reply)
    client = await door.connect()
    await client.send(MODERN)
    await client.head()
    reply.feed(piece[:size])
    reply.feed(b"next")
    reply.end()
    assert await client.chunks() == piece[:size] + b"next"


@pytest.mark.parametrize(("raw", "length"), [(MODERN, None), (MODERN, 100), (OLD, 100)])
async def test_a_reply_that_the_backend_cut_is_cut_for_the_client(door: Door, raw: bytes, length: int | None) -> None:
    reply = ScriptedReply(b"piece", length=length, ended=False)
    door.gateway.serve = relaying(reply)
    client = await door.connect()
    await client.send(raw)
    await client.head()
    reply.feed(b"last")
    reply.fail()
    assert await client.rest() == (b"piecelast" if length else b"5\r\npiece\r\n4\r\nlast\r\n")
    assert door.gateway.ended == ["cut"]
    assert not door.gateway.clients[0].gone
    assert door.reports == []


async def test_a_cut_is_a_reset_where_closing_would_be_the_end(door: Door) -> None:
    reply = ScriptedReply(b"piece", ended=False)
    door.gateway.serve = relaying(reply)
    client = await door.connect()
    await client.send(OLD)
    await client.head()
    assert await client.exactly(5) == b"piece"
    reply.fail()
    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_a_bug_in_the_middle_of_a_reply_cuts_it(door: Door) -> None:
    reply = ScriptedReply(b"piece", ended=False)

    async def serve(request: Request, client: Client) -> None:
        asyncio.get_running_loop().call_later(0.01, reply.fail)
        try:
            await client.relay(reply, b"")
        finally:
            raise RuntimeError("ours")

    door.gateway.serve = serve
    raw = await door.send_and_read_all(MODERN)
    assert raw.endswith(b"5\r\npiece\r\n")
    assert len(door.reports) == 1


async def test_a_client_that_has_left_takes_no_reply(door: Door) -> None:
    told: list[BaseException] = []

    async def serve(request: Request, client: Client) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            client.answer(200, (), b"")
            try:
                await client.relay(ScriptedReply(), b"")
            except ClientGone as gone:
                told.append(gone)
            raise

    door.gateway.serve = serve
    client = await door.connect()
    await client.send(MODERN)
    await soon(door.gateway.arrived)
    client.close()
    await soon(door.gateway.settled)
    assert len(told) == 1


async def test_pieces_for_a_connection_that_was_just_lost_hurt_nobody(door: Door) -> None:
    reply = ScriptedReply(b"piece", ended=False)
    door.gateway.serve = relaying(reply)
    client = await door.connect()
    await client.send(MODERN)
    await client.head()
    (front,) = door.server._hub.fronts
    front.transport.abort()
    door.gateway.clients[0].data(b"piece")  # type: ignore[attr-defined]
    door.gateway.clients[0].data(b"piece" * 100_000)  # type: ignore[attr-defined]
    await soon(door.gateway.settled)
    assert door.gateway.ended == ["cancelled"]


async def test_an_answer_for_a_connection_that_was_just_lost_is_no_bug(door: Door) -> None:
    for reply in (None, ScriptedReply(b"x"), ScriptedReply(b"x", ended=False)):
        go = asyncio.Event()

        async def serve(
            request: Request, client: Client, reply: ScriptedReply | None = reply, go: asyncio.Event = go
        ) -> None:
            await go.wait()
            (front,) = door.server._hub.fronts
            front.transport.abort()
            if reply is None:
                client.answer(200, (), b"x")
            else:
                await client.relay(reply, b"")

        door.gateway.serve = serve
        door.gateway.settled.clear()
        client = await door.connect()
        await client.send(MODERN)
        go.set()
        await soon(door.gateway.settled)
        await until(lambda: door.server.connections == 0)
    assert door.reports == []
    assert "crashed" not in door.gateway.ended


async def test_a_slow_reader_pauses_the_backend_and_loses_nothing(door: Door) -> None:
    reply = ScriptedReply(ended=False)
    door.gateway.serve = relaying(reply)
    client = await door.connect(receive=4096)
    await client.send(MODERN)
    await client.head()
    fed = 0
    while reply.reading:
        reply.feed(b"x" * 50_000)
        fed += 50_000
        await asyncio.sleep(0)
        assert fed < 20_000_000
    (front,) = door.server._hub.fronts
    assert front.transport.get_write_buffer_size() < 300_000
    while fed:
        fed -= len(await client.chunk())
    assert reply.reading
    reply.end()
    assert await client.chunk() == b""


async def test_the_next_request_waits_until_the_client_has_read_the_reply(door: Door) -> None:
    door.gateway.serve = relaying(ScriptedReply(b"x" * 8_000_000, length=8_000_000))
    client = await door.connect(receive=4096)
    await client.send(GOOD + GOOD)
    await client.head()
    await soon(door.gateway.settled)
    await asyncio.sleep(0.02)
    assert len(door.gateway.requests) == 1
    door.gateway.serve = relaying(ScriptedReply(b"y", length=1))
    await client.exactly(8_000_000)
    assert (await client.answer()).body == b"y"


async def test_own_answers_have_a_length_and_heads_no_body(door: Door) -> None:
    async def serve(request: Request, client: Client) -> None:
        client.answer(429, ((b"Retry-After", b"1"),), b"body")

    door.gateway.serve = serve
    client = await door.connect()
    await client.send(HEAD + MODERN)
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\n"
    assert (await client.answer(bodiless=True)).head == head
    answer = await client.answer()
    assert (answer.head, answer.body) == (head, b"body")
    await until(lambda: door.gateway.ended == ["served", "served"])
