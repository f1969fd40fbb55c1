"""WebSockets between raw sockets: the handshake, the bytes, the ends."""

import asyncio
import hashlib
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

import pytest
import trustme

from lb.events import Outcome
from lb.wire.line import LOOK_SECONDS
from lb.wire.websocket import GOODBYE, PING
from tests.wire.front_door import GOOD, PATIENCE, until
from tests.wire.sockets import ACCEPT, MASK, NONCE, accept_of, between, close, frame, handshake

BOTH_LOOPS = True


async def test_the_handshake_goes_on_and_its_answer_comes_back() -> None:
    async with between() as stage:
        client = await stage.connect()
        await client.send(
            handshake(
                b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.s3cret",
                b"Sec-WebSocket-Protocol: other",
                b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
                b"Origin: https://app.example",
                b"OpenAI-Beta: realtime=v1",
                b"api-key: s3cret",
            )
        )
        accepted = await stage.backends[0].accepted()
        assert accepted.head.startswith(b"GET /openai/v1/realtime?model=voice HTTP/1.1\r\n")
        assert accepted.fields == {
            b"host": stage.backends[0].url.removeprefix("http://").encode(),
            b"api-key": b"k",
            b"origin": b"https://app.example",
            b"openai-beta": b"realtime=v1",
            b"connection": b"Upgrade",
            b"upgrade": b"websocket",
            b"sec-websocket-version": b"13",
            b"sec-websocket-key": NONCE,
            b"sec-websocket-protocol": b"realtime, other",
        }
        await accepted.grant(b"Sec-WebSocket-Protocol: realtime", b"x-ms-region: eastus2")
        answer = await client.head()
        assert answer.status == 101
        assert answer.fields[b"sec-websocket-accept"] == ACCEPT == accept_of(NONCE)
        assert answer.fields[b"sec-websocket-protocol"] == b"realtime"
        assert answer.fields[b"x-ms-region"] == b"eastus2"
        assert (answer.fields[b"connection"], answer.fields[b"upgrade"]) == (b"Upgrade", b"websocket")
        assert (answer.fields[b"x-lb-backend"], answer.fields[b"x-lb-attempts"]) == (b"b1", b"1")
        assert stage.heads[0].protocol_key == b"s3cret"


async def test_frames_pass_byte_for_byte_both_ways() -> None:
    async with between() as stage:
        client, backend = await stage.open()
        there = frame(b"hel", final=False, mask=MASK) + frame(b"", 9, mask=MASK) + frame(b"lo", 0, mask=MASK)
        back = frame(b"a" * 200) + frame(b"b" * 70_000, 2) + frame(b"", 10) + frame(b"")
        await asyncio.gather(client.send(there), backend.send(back))
        assert await backend.exactly(len(there)) == there
        assert await client.exactly(len(back)) == back


async def test_a_handshake_may_come_byte_by_byte() -> None:
    async with between() as stage:
        client = await stage.connect()
        for byte in handshake():
            await client.send(bytes((byte,)))
        backend = await stage.backends[0].accepted()
        await backend.grant()
        assert (await client.head()).status == 101


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 15 * 1024 * 1024])
async def test_frames_of_any_size_pass_both_ways(size: int) -> None:
    async with between(ping_seconds=0) as stage:
        client, backend = await stage.open()
        there, back = frame(os.urandom(size), 2, mask=MASK), frame(os.urandom(size), 2)
        _, _, told, heard = await asyncio.gather(
            client.send(there), backend.send(back), backend.exactly(len(there)), client.exactly(len(back))
        )
        assert hashlib.sha256(told).digest() == hashlib.sha256(there).digest()
        assert hashlib.sha256(heard).digest() == hashlib.sha256(back).digest()


async def test_what_comes_before_the_answer_waits_for_it() -> None:
    async with between() as stage:
        client = await stage.connect()
        early = frame(b"early", mask=MASK)
        await client.send(handshake() + early)
        backend = await stage.backends[0].accepted()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(backend.reader.read(1), 0.05)
        await backend.grant(behind=frame(b"at once"))
        assert await backend.exactly(len(early)) == early
        assert (await client.head()).status == 101
        assert await client.exactly(9) == frame(b"at once")


async def test_what_comes_before_a_refusal_is_never_a_request() -> None:
    async with between() as stage:
        client = await stage.connect()
        await client.send(handshake() + GOOD)
        backend = await stage.backends[0].accepted()
        await backend.send(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nNo.")
        answer = await client.answer()
        assert (answer.status, answer.body, answer.fields[b"connection"]) == (400, b"No.", b"close")
        assert answer.fields[b"content-type"] == b"text/x"
        assert await client.rest() == b""
        assert len(stage.heads) == 1
        assert stage.backends[0].opened == 1


async def test_early_bytes_are_bounded() -> None:
    async with between() as stage:
        client = await stage.connect()
        await client.send(handshake())
        backend = await stage.backends[0].accepted()
        flood = asyncio.ensure_future(client.send(bytes(32 * 1024 * 1024)))
        await asyncio.sleep(0.2)
        assert not flood.done()
        (front,) = stage.server._hub.fronts
        assert len(front.take_rest()) < 1024 * 1024  # type: ignore[attr-defined]
        flood.cancel()
        backend.writer.close()


@pytest.mark.parametrize(
    "refusal", [b"429 Too Many Requests\r\nRetry-After: 7", b"503 No\r\nRetry-After: 7", b"500 No"]
)
async def test_a_handshake_that_one_backend_refuses_is_granted_by_the_next(refusal: bytes) -> None:
    async with between(2) as stage:
        client = await stage.connect()
        await client.send(handshake())
        first = await stage.backends[0].accepted()
        await first.send(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % refusal)
        second = await stage.backends[1].accepted()
        assert first.fields[b"sec-websocket-key"] == second.fields[b"sec-websocket-key"]
        await second.grant()
        answer = await client.head()
        assert (answer.status, answer.fields[b"x-lb-backend"], answer.fields[b"x-lb-attempts"]) == (101, b"b2", b"2")


BAD_GRANTS = {
    "another key": b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b" % accept_of(b"x"),
    "no accept": b"Upgrade: websocket\r\nConnection: Upgrade",
    "another protocol": b"Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ACCEPT,
    "no connection": b"Upgrade: websocket\r\nSec-WebSocket-Accept: " + ACCEPT,
    "an extension": b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT,
    "a subprotocol": b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: x\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT,
    "a body": b"Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 5\r\nSec-WebSocket-Accept: " + ACCEPT,
}


@pytest.mark.parametrize("fields", BAD_GRANTS.values(), ids=BAD_GRANTS)
async def test_a_grant_that_a_client_must_not_accept_is_a_fault(fields: bytes) -> None:
    async with between(2) as stage:
        client = await stage.connect()
        await client.send(handshake())
        first = await stage.backends[0].accepted()
        await first.send(b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n\r\n" % fields)
        await (await stage.backends[1].accepted()).grant()
        assert (await client.head()).fields[b"x-lb-backend"] == b"b2"


async def test_a_redirect_does_not_tell_our_key() -> None:
    async with between() as stage:
        client = await stage.connect()
        await client.send(handshake())
        backend = await stage.backends[0].accepted()
        await backend.send(
            b"HTTP/1.1 302 Found\r\nLocation: wss://x/v1/realtime?deployment=d&api-key=k\r\nContent-Length: 0\r\n\r\n"
        )
        answer = await client.answer()
        assert (answer.status, answer.fields[b"location"]) == (302, b"wss://x/v1/realtime?deployment=d")


async def test_a_plain_answer_to_a_handshake_is_relayed() -> None:
    async with between() as stage:
        client = await stage.connect()
        await client.send(handshake(target=b"/openai/v1/models"))
        backend = await stage.backends[0].accepted()
        await backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        assert (await client.answer()).body == b"{}"
        assert await client.rest() == b""


BAD_HANDSHAKES = {
    "no key": (b"Sec-WebSocket-Version: 13",),
    "a short key": (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhl"),
    "no base64": (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: %%%%"),
    "two keys": (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + NONCE, b"Sec-WebSocket-Key: " + NONCE),
    "a body": (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + NONCE, b"Content-Length: 2"),
    "a chunked body": (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + NONCE, b"Transfer-Encoding: chunked"),
    "no token": (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + NONCE, b"Sec-WebSocket-Protocol: a b"),
    "twice": (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + NONCE, b"Sec-WebSocket-Protocol: a, a"),
}


@pytest.mark.parametrize("fields", BAD_HANDSHAKES.values(), ids=BAD_HANDSHAKES)
async def test_a_malformed_handshake_is_refused(fields: tuple[bytes, ...]) -> None:
    async with between() as stage:
        client = await stage.connect()
        lines = (b"GET /x HTTP/1.1", b"Host: lb", b"Upgrade: WebSocket", b"Connection: keep-alive, upgrade", *fields)
        await client.send(b"\r\n".join(lines) + b"\r\n\r\n{}")
        answer = await client.answer()
        assert (answer.status, answer.fields[b"connection"]) == (400, b"close")
        assert stage.backends[0].opened == 0


@pytest.mark.parametrize("version", [b"", b"Sec-WebSocket-Version: 8", b"Sec-WebSocket-Version: 13, 8"])
async def test_another_version_is_refused_with_the_one_that_is_known(version: bytes) -> None:
    async with between() as stage:
        client = await stage.connect()
        await client.send(handshake().replace(b"Sec-WebSocket-Version: 13\r\n", version + b"\r\n" if version else b""))
        answer = await client.answer()
        assert (answer.status, answer.fields[b"sec-websocket-version"]) == (426, b"13")
        assert answer.fields[b"upgrade"] == b"websocket"


@pytest.mark.parametrize(
    "changed",
    [
        (b"Connection: Upgrade", b"Connection: keep-alive"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"GET ", b"DELETE "),
        (b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"),
    ],
)
async def test_what_is_no_handshake_goes_on_as_a_plain_request(changed: tuple[bytes, bytes]) -> None:
    async with between() as stage:
        client = await stage.connect()
        await client.send(handshake().replace(*changed, 1))
        backend = await stage.backends[0].accepted()
        assert not {b"upgrade", b"sec-websocket-key", b"sec-websocket-version"} & backend.fields.keys()
        await backend.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert (await client.answer()).status == 502


# Back-pressure.


async def test_a_backend_that_does_not_read_stops_the_client() -> None:
    async with between(ping_seconds=0) as stage:
        client, backend = await stage.open()
        big = frame(os.urandom(48 * 1024 * 1024), 2, mask=MASK)
        sending = asyncio.ensure_future(client.send(big))
        await asyncio.sleep(0.3)
        assert not sending.done()
        (connection,) = stage.transport._sweep.connections
        assert connection.transport.get_write_buffer_size() < 1024 * 1024
        # The other way is free meanwhile.
        await backend.send(frame(b"still here"))
        assert await client.exactly(12) == frame(b"still here")
        assert await backend.exactly(len(big)) == big
        await sending


async def test_a_client_that_does_not_read_stops_the_backend() -> None:
    async with between(ping_seconds=0) as stage:
        client, backend = await stage.open()
        big = frame(os.urandom(48 * 1024 * 1024), 2)
        sending = asyncio.ensure_future(backend.send(big))
        await asyncio.sleep(0.3)
        assert not sending.done()
        (session,) = stage.server._hub.fronts
        assert session.transport.get_write_buffer_size() < 1024 * 1024
        await client.send(frame(b"still here", mask=MASK))
        assert await backend.exactly(16) == frame(b"still here", mask=MASK)
        assert await client.exactly(len(big)) == big
        await sending


async def test_who_sends_without_reading_has_its_time_also_where_the_backend_does_the_same() -> None:
    async with between(ping_seconds=0) as stage:
        client, backend = await stage.open()
        there, back = (frame(os.urandom(24 * 1024 * 1024), 2, mask=mask) for mask in (MASK, b""))
        answering = asyncio.ensure_future(backend.send(back))
        (session,) = stage.server._hub.fronts
        await until(lambda: session._front.stalled)  # type: ignore[attr-defined]
        sending = asyncio.ensure_future(client.send(there))
        await until(lambda: session._front.paused)  # type: ignore[attr-defined]
        await asyncio.sleep(LOOK_SECONDS + 1)
        assert not answering.done()
        assert not sending.done()
        told, heard = await asyncio.gather(backend.exactly(len(there)), client.exactly(len(back)))
        assert (told, heard) == (there, back)
        await asyncio.gather(answering, sending)


# Ends.


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 4000])
async def test_a_close_by_the_backend_is_the_clients_close(code: int) -> None:
    async with between() as stage:
        client, backend = await stage.open()
        await backend.send(close(code, b"because"))
        backend.writer.write_eof()
        assert await client.rest() == close(code, b"because")
        assert (await stage.finished()).outcome is Outcome.RELAYED


async def test_a_close_by_the_client_reaches_the_backend_and_its_answer_the_client() -> None:
    async with between() as stage:
        client, backend = await stage.open()
        await client.send(close(1000, mask=MASK))
        assert await backend.exactly(8) == close(1000, mask=MASK)
        await backend.send(close(1000))
        backend.writer.close()
        assert await client.rest() == close(1000)
        told = await stage.finished()
        assert (told.outcome, told.status) == (Outcome.RELAYED, 101)


async def test_a_backend_that_leaves_without_a_close_frame_is_told_as_a_cut() -> None:
    async with between() as stage:
        client, backend = await stage.open()
        await backend.send(frame(b"last"))
        backend.writer.close()
        assert await client.rest() == frame(b"last")
        told = await stage.finished()
        assert (told.outcome, told.backend) == (Outcome.CUT, "b1")


async def test_a_reset_by_the_backend_is_a_reset_for_the_client() -> None:
    async with between() as stage:
        client, backend = await stage.open()
        reset(backend.writer)
        with pytest.raises(ConnectionResetError):
            await client.rest()
        assert (await stage.finished()).outcome is Outcome.CUT


async def test_a_reset_behind_a_close_frame_is_no_fault() -> None:
    async with between() as stage:
        client, backend = await stage.open()
        await backend.send(close(1000))
        assert await client.exactly(4) == close(1000)
        reset(backend.writer)
        assert await client.rest() == b""
        assert (await stage.finished()).outcome is Outcome.RELAYED


async def test_a_client_that_leaves_ends_the_backends_side_at_once() -> None:
    async with between() as stage:
        client, backend = await stage.open()
        await client.send(close(1001, mask=MASK))
        client.close()
        assert await backend.rest() == close(1001, mask=MASK)
        assert (await stage.finished()).outcome is Outcome.ABANDONED


async def test_a_client_that_leaves_before_the_answer_ends_the_handshake() -> None:
    async with between() as stage:
        client = await stage.connect()
        await client.send(handshake())
        backend = await stage.backends[0].accepted()
        client.close()
        assert await backend.rest() == b""
        assert (await stage.finished()).outcome is Outcome.ABANDONED


# Silence.


async def test_a_silent_session_is_kept_alive_by_pings_and_outlives_the_idle_limit() -> None:
    async with between(idle=1.5, ping_seconds=0.3) as stage:
        client, backend = await stage.open()
        async with asyncio.timeout(PATIENCE):
            for _ in range(6):
                assert await client.exactly(4) == PING
                pong = frame(b"lb", 10, mask=MASK)
                await client.send(pong)
                assert await backend.exactly(8) == pong


async def test_a_client_that_answers_no_ping_is_not_cut_by_the_idle_limit_either() -> None:
    async with between(idle=0.2, ping_seconds=0) as stage:
        client, backend = await stage.open()
        await asyncio.sleep(0.6)
        await backend.send(frame(b"late"))
        assert await client.exactly(6) == frame(b"late")


async def test_no_ping_stands_within_a_frame() -> None:
    async with between(ping_seconds=0.1) as stage:
        client, backend = await stage.open()
        whole = frame(b"x" * 300)
        for cut in (1, 3, 100):
            await backend.send(whole[:cut])
            assert await client.exactly(cut) == whole[:cut]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.reader.read(1), 0.3)
            await backend.send(whole[cut:])
            assert await client.exactly(len(whole) - cut) == whole[cut:]
            assert await client.exactly(4) == PING


async def test_no_ping_follows_a_close() -> None:
    async with between(ping_seconds=0.1) as stage:
        client, backend = await stage.open()
        await backend.send(close(1000))
        assert await client.exactly(4) == close(1000)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):  # what never ends is ended
            await client.exactly(1)
        assert await backend.rest() == b""


async def test_talk_in_either_direction_needs_no_ping() -> None:
    async with between(ping_seconds=1) as stage:
        client, backend = await stage.open()
        for _ in range(10):
            await client.send(frame(b"a", mask=MASK))
            await backend.exactly(7)
            await asyncio.sleep(0.15)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.02)


# The balancer's own end.


async def test_at_the_end_of_a_drain_the_client_is_told_that_we_go_away() -> None:
    async with between() as stage:
        client, backend = await stage.open()
        draining = asyncio.ensure_future(stage.server.drain(2, 0.1))
        await asyncio.sleep(0.15)
        await backend.send(frame(b"under way"))
        assert await client.exactly(11) == frame(b"under way")
        assert await client.exactly(len(GOODBYE)) == GOODBYE
        assert GOODBYE[2:4] == (1001).to_bytes(2)
        await client.send(close(1001, mask=MASK))
        assert await backend.exactly(8) == close(1001, mask=MASK)
        await backend.send(frame(b"too late") + close(1001))
        backend.writer.close()
        assert await client.rest() == b""
        await draining
        await until(lambda: stage.server.connections == 0)


async def test_within_a_frame_a_drain_cuts_honestly() -> None:
    async with between() as stage:
        client, backend = await stage.open()
        await backend.send(frame(b"x" * 300)[:100])
        assert len(await client.exactly(100)) == 100
        draining = asyncio.ensure_future(stage.server.drain(0.1, 0.05))
        with pytest.raises(ConnectionResetError):
            await client.rest()
        assert (await stage.finished()).outcome is Outcome.DRAINED
        await draining


async def test_a_client_that_does_not_answer_the_goodbye_is_cut_in_a_moment() -> None:
    async with between() as stage:
        client, _ = await stage.open()
        await asyncio.wait_for(stage.server.drain(0.1, 0.05), PATIENCE)
        assert await client.exactly(len(GOODBYE)) == GOODBYE
        assert (await stage.finished()).outcome is Outcome.DRAINED


# Behind TLS.


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "roots.pem"
    ca.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context, str(path)


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_tls_changes_nothing(secure: tuple[ssl.SSLContext, str], how: str) -> None:
    async with between(tls=secure[0], ca_file=secure[1]) as stage:
        client, backend = await stage.open()
        there, back = frame(os.urandom(1024 * 1024), 2, mask=MASK), frame(os.urandom(1024 * 1024), 2)
        _, _, told, heard = await asyncio.gather(
            client.send(there), backend.send(back), backend.exactly(len(there)), client.exactly(len(back))
        )
        assert (told, heard) == (there, back)
        await backend.send(close(1000))
        assert await client.exactly(4) == close(1000)
        await client.send(close(1000, mask=MASK))
        assert await backend.exactly(8) == close(1000, mask=MASK)
        if how == "abort":  # without TLS's own goodbye, as many servers do it
            backend.writer.transport.abort()
        else:
            backend.writer.close()
        assert await client.rest() == b""
        assert (await stage.finished()).outcome is Outcome.RELAYED


async def test_behind_tls_the_backend_hears_of_a_client_that_leaves(secure: tuple[ssl.SSLContext, str]) -> None:
    async with between(tls=secure[0], ca_file=secure[1]) as stage:
        client, backend = await stage.open()
        await client.send(close(1001, mask=MASK))
        client.close()
        assert await backend.rest() == close(1001, mask=MASK)


# Who leaves while the other side does not read.


async def flood(send: Callable[[bytes], Awaitable[None]], piece: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        for _ in range(200):
            await send(piece)


async def test_a_client_that_leaves_while_the_backend_does_not_read_is_noticed() -> None:
    async with between() as stage:
        client, _ = await stage.open()
        sending = asyncio.ensure_future(client.send(bytes(48 * 1024 * 1024)))
        await asyncio.sleep(0.3)
        assert not sending.done()
        sending.cancel()
        reset(client.writer)
        assert (await stage.finished()).outcome is Outcome.ABANDONED


async def test_a_client_that_reads_no_more_is_cut_in_time() -> None:
    async with between(stall_seconds=0.3) as stage:
        client, backend = await stage.open()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await flood(backend.send, frame(bytes(1024 * 1024), 2))
        assert (await stage.finished()).outcome is Outcome.ABANDONED


async def test_a_backend_that_reads_no_more_is_cut_by_the_idle_limit() -> None:
    async with between(idle=0.3) as stage:
        client, _ = await stage.open()
        with pytest.raises(ConnectionError):
            await flood(client.send, frame(bytes(1024 * 1024), 2, mask=MASK))
        assert (await stage.finished()).outcome is Outcome.CUT
