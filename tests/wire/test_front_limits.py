"""What a slow client may take, and how a listener ends."""

import asyncio
import json
import socket
from typing import Any

import pytest

from lb.exchange import Client, Ended, Request
from lb.wire.line import LOOK_SECONDS
from tests.wire.front_door import GOOD, PATIENCE, Door, RawClient, ScriptedReply, open_door, relaying, soon, until

READY = b"GET /readyz HTTP/1.1\r\nHost: lb\r\n\r\n"


@pytest.mark.parametrize("sent", [b"G", b"GET /v1 HTTP/1.1\r\nHost: lb\r\n", b"\r"])
async def test_a_head_that_does_not_arrive_is_a_408(sent: bytes) -> None:
    async with open_door(head_seconds=0.1) as door:
        client = await door.connect()
        answer = await client.ask(sent)
        assert (answer.status, answer.fields[b"connection"]) == (408, b"close")
        assert [facts["status"] for _, facts in door.reports] == [408]


async def test_a_connection_that_sends_nothing_is_closed_without_a_word() -> None:
    async with open_door(head_seconds=0.1) as door:
        assert await door.send_and_read_all(b"") == b""
        assert door.reports == []


async def test_a_head_that_trickles_has_no_more_time_than_one_that_stops() -> None:
    async with open_door(head_seconds=0.2) as door:
        client = await door.connect()
        trickle = asyncio.ensure_future(trickle_into(client.writer))
        assert (await client.answer()).status == 408
        trickle.cancel()


async def trickle_into(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /v1 HTTP/1.1\r\nX: ")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def test_a_body_that_stops_is_a_408_and_one_that_trickles_is_not() -> None:
    async with open_door(body_seconds=1) as door:
        client = await door.connect()
        await client.send(GOOD.replace(b"Length: 2", b"Length: 9"))
        for _ in range(6):
            await asyncio.sleep(0.2)
            await client.send(b"x")
        assert door.reports == []
        answer = await client.answer()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (408, "RequestTimeout")
        assert door.gateway.requests == []


async def test_a_streamed_body_that_stops_is_a_408_and_cancels_the_request() -> None:
    async with open_door(body_seconds=0.1, replay_max=1) as door:
        client = await door.connect()
        assert (await client.ask(GOOD.replace(b"Length: 2", b"Length: 9"))).status == 408
        assert door.gateway.ended == ["cancelled"]


async def test_an_idle_connection_is_closed_late_and_a_slow_reply_never() -> None:
    async with open_door(head_seconds=1, body_seconds=1, idle_seconds=1.2) as door:
        client = await door.connect()
        reply = ScriptedReply(b"slow", ended=False)
        door.gateway.serve = relaying(reply)
        await client.send(GOOD)
        await client.head()
        await asyncio.sleep(1.5)
        started = asyncio.get_running_loop().time()
        reply.end()
        await client.chunks()
        assert await client.rest() == b""
        assert asyncio.get_running_loop().time() - started > 1.1
        assert door.reports == []


async def test_the_next_head_has_its_own_time() -> None:
    async with open_door(head_seconds=0.8) as door:
        client = await door.connect()
        await client.ask(GOOD)
        await asyncio.sleep(1)
        await client.ask(READY)
        await asyncio.sleep(1)
        assert (await client.ask(GOOD)).status == 200
        assert (await client.ask(GOOD[:20])).status == 408


async def test_a_client_that_stops_reading_is_cut_in_the_end() -> None:
    async with open_door(stall_seconds=0.2) as door:
        reply = ScriptedReply(*[b"x" * 100_000] * 200, ended=False)
        door.gateway.serve = relaying(reply)
        client = await door.connect(receive=4096)
        await client.send(GOOD)
        await soon(door.gateway.settled)
        assert door.gateway.ended == ["cancelled"]
        await until(lambda: door.server.connections == 0)


async def full_both_ways(door: Door, pieces: int) -> tuple[RawClient, Any]:
    """A client that does not read so many pieces of 100 kB and has sent more than is taken of it, and its front."""
    door.gateway.serve = relaying(ScriptedReply(*[b"x" * 100_000] * pieces, ended=False))
    client = await door.connect(receive=4096)
    await client.send(GOOD)
    (front,) = door.server._hub.fronts
    await until(lambda: front.stalled)  # type: ignore[attr-defined]
    await client.send(GOOD * 2000)
    await until(lambda: front.paused)  # type: ignore[attr-defined]
    return client, front


async def test_a_client_that_pipelines_without_reading_has_all_its_time_to_read() -> None:
    async with open_door() as door:
        await full_both_ways(door, 200)
        await asyncio.sleep(LOOK_SECONDS + 1)
        assert door.server.connections == 1
        assert door.gateway.ended == []


async def test_a_client_that_left_is_missed_though_it_had_stalled_and_pipelined_before() -> None:
    async with open_door() as door:
        client, front = await full_both_ways(door, 100)
        await client.head()
        for _ in range(100):
            await client.chunk()
        assert (front.stalled, front.paused) == (False, True)
        client.close()
        await until(lambda: door.server.connections == 0)
        await until(lambda: door.gateway.ended == ["cancelled"])  # its task is told, and ends in a later turn


async def test_limits_may_change_while_it_runs() -> None:
    async with open_door() as door:
        client = await door.connect()
        await client.ask(GOOD)
        door.server.limits = type(door.server.limits)(replay_max=1)
        await client.ask(GOOD)
        assert [isinstance(request.body, bytes) for request in door.gateway.requests] == [True, False]


async def test_draining_lets_streams_finish_and_idle_connections_go() -> None:
    async with open_door() as door:
        reply = ScriptedReply(b"first", ended=False)
        door.gateway.serve = relaying(reply)
        idle, streaming = await door.connect(), await door.connect()
        assert (await idle.ask(READY)).status == 200
        await streaming.send(GOOD)
        await streaming.head()
        drained = asyncio.ensure_future(door.server.drain(60, moment=1))
        await until(lambda: door.server.draining)
        fresh = await door.connect()
        for client in (idle, fresh):
            answer = await client.ask(READY)
            assert (answer.status, answer.fields[b"connection"]) == (503, b"close")
            assert await client.rest() == b""
        await until(lambda: door.server.connections == 1)
        await until(lambda: not door.server.addresses)
        assert not drained.done()
        reply.end()
        assert await streaming.chunks() == b"first"
        assert await streaming.rest() == b""
        await asyncio.wait_for(drained, PATIENCE)


async def test_a_new_request_in_the_moment_of_draining_is_served_as_the_last_one() -> None:
    async with open_door() as door:
        client, waiting = await door.connect(), await door.connect()
        go = asyncio.Event()

        async def serve(request: Request, client: Client) -> None:
            await go.wait()
            await client.relay(ScriptedReply(b"x", length=1), b"")

        await client.ask(GOOD)
        door.gateway.serve = serve
        door.gateway.arrived.clear()
        await waiting.send(GOOD)
        await soon(door.gateway.arrived)
        drained = asyncio.ensure_future(door.server.drain(60, moment=1))
        await until(lambda: door.server.draining)
        go.set()
        for late in (await client.ask(GOOD), await waiting.answer()):
            assert (late.status, late.fields[b"connection"]) == (200, b"close")
        await asyncio.wait_for(drained, PATIENCE)


async def test_what_outlasts_the_drain_is_cut_without_a_clean_end() -> None:
    async with open_door() as door:
        door.gateway.serve = relaying(ScriptedReply(b"first", ended=False))
        streaming, partial, silent = await door.connect(), await door.connect(), await door.connect()
        await streaming.send(GOOD)
        await streaming.head()

        waiting: list[Client] = []

        async def stay(request: Request, client: Client) -> None:
            waiting.append(client)
            await asyncio.get_running_loop().create_future()

        door.gateway.serve = stay
        await silent.send(GOOD)
        await partial.send(GOOD[:30])
        await until(lambda: len(door.gateway.requests) == 2)
        await door.server.drain(0.1, moment=0.05)
        assert await streaming.rest() == b"5\r\nfirst\r\n"
        assert (await silent.answer()).status == 503
        assert (await partial.answer()).status == 503
        assert door.gateway.ended == ["cancelled", "cancelled"]
        assert [client.ended for client in waiting] == [Ended.DRAINED]


async def test_a_bound_socket_may_be_given() -> None:
    async with open_door() as door:
        sock = socket.create_server(("127.0.0.1", 0))
        await door.server.start(sock)
        assert sock.getsockname() in door.server.addresses
