"""What becomes of a request between the socket and the gateway."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from lb.admin.door import COOKIE
from lb.exchange import Client, Request
from lb.refusal import Head, Refusal
from lb.wire.head_reader import next_head
from lb.wire.request_line import read_line
from tests.wire.front_door import GOOD, Door, ScriptedReply, open_door, relaying, soon, until

NO = Refusal(401, "401", "Who are you?", ((b"WWW-Authenticate", b"Bearer"),))


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door


def post(body: bytes, *fields: bytes, target: bytes = b"/v1/x") -> bytes:
    lines = (b"POST %b HTTP/1.1" % target, b"Host: lb", *fields, b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def stay(request: Request, client: Client) -> None:
    """A backend that takes forever."""
    await asyncio.get_running_loop().create_future()


async def test_a_request_goes_on_with_the_fields_as_they_came(door: Door) -> None:
    fields = (
        b"Accept-Encoding: gzip, deflate",
        b"Connection: keep-alive",
        b"X-Stainless-OS: Linux",
        b"x-stainless-OS:  twice  ",
        b"content-TYPE: application/json",
        b"Content-Encoding: gzip",
        b"Cookie: a=b",
        b"traceparent: 00-1-2-01",
    )
    await door.ask(post(b"{}", *fields))
    (request,) = door.gateway.requests
    assert request.fields == b"".join(field.replace(b":  ", b": ") + b"\r\n" for field in fields)
    assert (request.method, request.target, request.body) == ("POST", b"/v1/x", b"{}")
    assert (request.content_type, request.content_encoding) == (b"application/json", b"gzip")
    assert (request.sized, request.chunked, request.peer) == (True, False, "127.0.0.1")


async def test_what_is_for_this_hop_or_secret_or_from_a_proxy_ends_here(door: Door) -> None:
    dropped = (
        b"Connection: X-Mine, close", b"X-Mine: 1", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive",
        b"Proxy-Authorization: Basic eA==", b"TE: trailers", b"Trailer: X-Sum", b"Upgrade: websocket",
        b"api-key: secret", b"Authorization: Bearer secret", b"Ocp-Apim-Subscription-Key: secret",
        b"X-Forwarded-For: 1.2.3.4", b"x-forwarded-proto: https", b"Forwarded: for=1.2.3.4", b"X-Real-IP: 1.2.3.4",
        b"X-Envoy-External-Address: 1.2.3.4", b"X-K8se-App-Name: lb", b"Sec-WebSocket-Protocol: secret",
    )  # fmt: skip
    await door.ask(post(b"", *dropped, b"Accept: */*"))
    (request,) = door.gateway.requests
    assert request.headers == [(b"Accept", b"*/*")]
    assert b"secret" not in repr(request).encode()


async def test_an_operators_session_reaches_no_backend_and_other_cookies_do(door: Door) -> None:
    session = f"{COOKIE}=secret".encode()
    await door.ask(post(b"", b"Cookie: a=b", b"cookie: a=b; " + session, b"Cookie: " + session))
    (request,) = door.gateway.requests
    assert request.headers == [(b"Cookie", b"a=b")]


async def test_an_upgrade_is_served_as_a_plain_request(door: Door) -> None:
    client = await door.connect()
    await client.send(post(b"abc", b"Connection: Upgrade", b"Upgrade: h2c") + GOOD)
    assert (await client.answer()).body == b"3"
    assert (await client.answer()).body == b"2"
    assert [request.headers for request in door.gateway.requests] == [[], []]


@pytest.mark.parametrize(
    ("connection", "keeps", "forwarded"),
    [
        (b"keep-alive", True, True),
        (b"Keep-Alive", True, True),
        (b"close", False, False),
        (b"keep-alive, X-Mine", True, False),
        (b"keep-alive, close", False, False),
    ],
)
async def test_only_a_plain_keep_alive_is_passed_on(
    door: Door, connection: bytes, keeps: bool, forwarded: bool
) -> None:
    answer = await door.ask(post(b"", b"Connection: " + connection))
    assert answer.fields.get(b"connection") == (None if keeps else b"close")
    assert door.gateway.requests[0].headers == ([(b"Connection", connection)] if forwarded else [])


async def test_the_gateway_learns_the_credentials_on_the_head_and_only_there(door: Door) -> None:
    await door.ask(post(b"", b"API-Key: a", b"authorization: bearer  b ", target=b"/v1/x?Api%2DKey=c%20d&z=1"))
    (head,) = door.gateway.heads
    assert (head.api_key, head.bearer, head.query_key) == (b"a", b"b", b"c d")
    assert (head.method, head.peer) == ("POST", "127.0.0.1")
    assert door.gateway.requests[0].target == b"/v1/x?z=1"


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b"//evil.com/x", b"//evil.com/x"),
        (b"http://evil.com/x?y", b"/x?y"),
        (b"HTTPS://[::1]:99/x", b"/x"),
        (b"http://evil.com?y", b"/?y"),
        (b"/a%2Fb/%7Ec?x=%3A&&=/../&q=\\", b"/a%2Fb/%7Ec?x=%3A&&=/../&q=\\"),
        (b"/openai/...x/.well-known/%E4", b"/openai/...x/.well-known/%E4"),
        (b"/x?", b"/x?"),
        (b"/x?monkey=1", b"/x?monkey=1"),
        (b"/x?a=1&api-key=k&b=2", b"/x?a=1&b=2"),
        (b"/x?api-key=k", b"/x"),
        (b"/x?subscription-key=k&a", b"/x?a"),
        (b"/x?&a&API-KEY=k&%61pi-key=l&&", b"/x?&a&&"),
        (b"/x?a;api-key=k;b&c", b"/x?a;b&c"),
        (b"/x?api-version=1?api-key=k", b"/x?api-version=1"),
        (b"/x?a=1;b=2?c&d=;&x-api-key=k", b"/x?a=1;b=2?c&d=;"),
    ],
)
async def test_the_target_passes_byte_for_byte_but_for_an_authority_and_keys(
    door: Door, sent: bytes, forwarded: bytes
) -> None:
    await door.ask(post(b"", target=sent))
    assert [request.target for request in door.gateway.requests] == [forwarded]


async def test_the_callers_request_id_is_taken_where_it_is_safe(door: Door) -> None:
    for fields in (
        [b"x-request-id: r-1", b"x-ms-client-request-id: c-1"],
        [b"x-ms-client-request-id: c-1"],
        [b"x-request-id: with space"],
        [b"x-request-id: " + b"a" * 129],
        [b'x-request-id: "q"'],
        [],
    ):
        await door.ask(post(b"", *fields))
    ids = [request.id for request in door.gateway.requests]
    assert ids[:2] == ["r-1", "c-1"]
    assert len(set(ids)) == 6
    assert all(made.isascii() and len(made) < 30 for made in ids[2:])


async def test_pages_of_our_own_reach_no_gateway(door: Door) -> None:
    for target, text in ((b"/healthz", b"ok\n"), (b"/readyz?x=1", b"ok\n"), (b"/", b"lb: a load balancer")):
        answer = await door.ask(b"GET %b HTTP/1.1\r\nHost: lb\r\n\r\n" % target)
        assert (answer.status, answer.body[: len(text)]) == (200, text)
    client = await door.connect()
    await client.send(b"HEAD /healthz HTTP/1.1\r\nHost: lb\r\n\r\n" * 2)
    assert (await client.answer(bodiless=True)).fields[b"content-length"] == b"3"
    assert (await client.answer(bodiless=True)).status == 200
    assert door.gateway.heads == []


async def test_everything_else_under_every_method_reaches_the_gateway(door: Door) -> None:
    for method in (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD", b"PROPFIND"):
        client = await door.connect()
        await client.send(method + b" /v1 HTTP/1.1\r\nHost: lb\r\n\r\n")
        await client.answer(bodiless=method == b"HEAD")
    await door.ask(post(b"", target=b"/"))
    await door.ask(post(b"", target=b"/healthz"))
    await door.ask(b"GET /healthz/x HTTP/1.1\r\nHost: lb\r\n\r\n")
    assert len(door.gateway.requests) == 11


async def test_requests_on_one_connection_are_served_in_order_by_one_task(door: Door) -> None:
    tasks = set()

    async def serve(request: Request, client: Client) -> None:
        tasks.add(asyncio.current_task())
        if request.target == b"/0":
            await asyncio.sleep(0.01)
        client.answer(200, (), request.target)

    door.gateway.serve = serve
    client = await door.connect()
    await client.send(b"\r\n".join(post(b"{}", target=b"/%d" % number) for number in range(20)))
    assert [(await client.answer()).body for _ in range(20)] == [b"/%d" % number for number in range(20)]
    assert len(tasks) == 1


async def test_pipelined_bytes_are_bounded_and_none_is_lost(door: Door) -> None:
    ready = asyncio.Event()

    async def serve(request: Request, client: Client) -> None:
        await ready.wait()
        client.answer(200, (), b"")

    door.gateway.serve = serve
    client = await door.connect()
    many = 400
    client.writer.write(post(b"x" * 10_000) * many)
    await soon(door.gateway.arrived)
    (front,) = door.server._hub.fronts
    await until(lambda: front.paused)
    assert len(front._rest) < 1024 * 1024
    ready.set()
    for _ in range(many):
        assert (await client.answer()).status == 200
    assert [len(request.body) for request in door.gateway.requests] == [10_000] * many  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["closes", "half-closes", "resets"])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_leaves_cancels_its_request_at_once(door: Door, how: str, begun: bool) -> None:
    door.gateway.serve = relaying(ScriptedReply(b"piece", ended=False)) if begun else stay
    client = await door.connect()
    await client.send(GOOD)
    await soon(door.gateway.arrived)
    if begun:
        await client.head()
    if how == "half-closes":
        client.writer.write_eof()
    elif how == "resets":
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
    else:
        client.close()
    await soon(door.gateway.settled)
    assert door.gateway.ended == ["cancelled"]
    assert door.gateway.clients[0].gone
    await until(lambda: door.server.connections == 0)
    assert door.reports == []


async def test_a_client_that_leaves_before_its_request_is_complete_troubles_nobody(door: Door) -> None:
    for sent in (b"", b"GET / HT", GOOD[:-1]):
        client = await door.connect()
        await client.send(sent)
        await until(lambda: door.server.connections == 1)
        client.close()
        await until(lambda: door.server.connections == 0)
    assert door.gateway.requests == []
    assert door.reports == []


async def test_a_client_that_leaves_after_its_answer_cancels_nothing(door: Door) -> None:
    left = asyncio.Event()

    async def serve(request: Request, client: Client) -> None:
        client.answer(200, (), b"")
        await left.wait()

    door.gateway.serve = serve
    client = await door.connect()
    await client.ask(GOOD)
    client.close()
    await until(lambda: door.server.connections == 0)
    left.set()
    await soon(door.gateway.settled)
    assert door.gateway.ended == ["served"]


async def test_a_bug_becomes_one_report_and_a_500(door: Door) -> None:
    bug = RuntimeError("ours")

    async def serve(request: Request, client: Client) -> None:
        raise bug

    door.gateway.serve = serve
    client = await door.connect()
    answer = await client.ask(GOOD + GOOD)
    assert (answer.status, answer.fields[b"connection"]) == (500, b"close")
    assert await client.rest() == b""
    ((_, facts),) = door.reports
    assert facts["error"] is bug
    assert len(door.gateway.requests) == 1


async def test_a_gateway_that_gives_no_answer_is_a_bug_too(door: Door) -> None:
    async def serve(request: Request, client: Client) -> None:
        pass

    door.gateway.serve = serve
    assert (await door.ask(GOOD)).status == 500
    assert len(door.reports) == 1


async def test_a_bug_while_identifying_is_one_report_and_a_500(door: Door) -> None:
    def verdict(head: Head) -> None:
        raise RuntimeError("ours")

    door.gateway.verdict = verdict
    assert (await door.ask(GOOD)).status == 500
    assert len(door.reports) == 1


async def test_http_1_0_closes_unless_it_asks_to_stay(door: Door) -> None:
    assert b"Connection: close" in await door.send_and_read_all(b"GET /v1 HTTP/1.0\r\n\r\n")
    client = await door.connect()
    for _ in range(2):
        answer = await client.ask(b"GET /v1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert answer.fields[b"connection"] == b"keep-alive"


async def test_empty_lines_before_a_request_are_skipped(door: Door) -> None:
    client = await door.connect()
    await client.send(b"\r")
    await client.send(b"\n\r\n" + GOOD + b"\r\n")
    assert (await client.answer()).status == 200
    assert (await client.ask(GOOD)).status == 200


async def test_a_head_may_come_in_any_pieces(door: Door) -> None:
    raw = post(b"{}", b"A: b")
    for at in range(1, len(raw)):
        client = await door.connect()
        await client.send(raw[:at])
        await asyncio.sleep(0)
        assert (await client.ask(raw[at:])).body == b"2"
        client.close()
    assert door.reports == []


async def test_a_request_that_somebody_else_cancels_takes_its_connection_along(door: Door) -> None:
    async def serve(request: Request, client: Client) -> None:
        raise asyncio.CancelledError

    door.gateway.serve = serve
    assert await door.send_and_read_all(GOOD) == b""


async def test_vanished_clients_are_noticed_by_the_kernel(door: Door) -> None:
    client = await door.connect()
    await client.ask(GOOD)
    (front,) = door.server._hub.fronts
    assert front.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    client.close()


def test_a_head_shows_no_secret_to_whoever_prints_it() -> None:
    raw = b"GET /x?api-key=secret HTTP/1.1\r\nHost: lb\r\napi-key: secret\r\nAuthorization: Bearer secret\r\n\r\n"
    head, _ = next_head(raw, "peer")
    assert head is not None
    assert (head.api_key, head.bearer, head.query_key) == (b"secret", b"secret", b"secret")
    assert "secret" not in repr(head) + repr(read_line(raw.partition(b"\r\n")[0]))
