"""Bodies too large to keep, through the real command, where only certain deployments are served."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from balancer import Balancer
from raw import Message, RawBackend, chunks, exchange, post, sized

V1 = b"/openai/v1/chat/completions"
AUDIO = b"/openai/v1/audio/transcriptions"
JSON = b"Content-Type: application/json"
FORM = b"Content-Type: multipart/form-data; boundary=XyZ"
FILLING = b"words \\n " * 200_000
"""More than sockets and their buffers hold."""


def document(end: bytes, model: bytes = b"chat") -> bytes:
    return b'{"model":"' + model + b'","messages":[{"model":"no","content":"' + FILLING + b'"}]' + end + b"}"


def form(*models: bytes) -> bytes:
    mention = b'\r\n--Xy\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
    parts = [(b"model", models[0]), (b"file", FILLING + mention), *[(b"model", model) for model in models[1:]]]
    head = b'--XyZ\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    return b"".join(head % part for part in parts) + b"--XyZ--\r\n"


TWICE = {
    "twice": (V1, JSON, document(b',"model":"secret"'), "key `model` twice"),
    "escaped": (V1, JSON, document(b',"mod\\u0065l" : "secret"'), "with escapes"),
    "form": (AUDIO, FORM, form(b"chat", b"secret"), "field `model` twice"),
}


@pytest.fixture
async def backend() -> AsyncIterator[RawBackend]:
    async with RawBackend() as backend:
        yield backend


def balancer(backend: RawBackend) -> Balancer:
    return Balancer(
        BACKEND_1_URL=backend.url,
        BACKEND_1_APIKEY="k",
        BACKEND_1_DEPLOYMENTS="chat=gpt-54-mini",
        LB_REPLAY_MAX_BYTES="4096",
    )


async def ask(front: Balancer, target: bytes, kind: bytes, body: bytes, *, chunked: bool = False) -> Message:
    if not chunked:
        return await exchange(front.url, *sized(target, body, kind))
    pieces = [body[at : at + 10_007] for at in range(0, len(body), 10_007)]
    return await exchange(front.url, post(target, kind, b"Transfer-Encoding: chunked"), chunks(*pieces))


def sockets(front: Balancer) -> int:
    assert front.process is not None
    found = 0
    for descriptor in Path(f"/proc/{front.process.pid}/fd").iterdir():
        try:
            found += str(descriptor.readlink()).startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


async def at_rest(front: Balancer, before: int) -> None:
    await front.settled()
    async with asyncio.timeout(30):
        while True:
            if sockets(front) <= before:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("what", TWICE)
async def test_no_backend_gets_all_of_a_large_body_that_names_its_model_twice(
    backend: RawBackend, what: str, chunked: bool
) -> None:
    target, kind, body, words = TWICE[what]
    async with balancer(backend) as front:
        await front.settled()
        before = sockets(front)
        for _ in range(4):
            reply = await ask(front, target, kind, body, chunked=chunked)
            assert reply.status == 400
            error = json.loads(reply.body)["error"]
            assert (error["code"], words in error["message"]) == ("BadRequest", True)
        await at_rest(front, before)
        assert [message.whole for message in backend.received] == [False] * 4
        small = await ask(front, V1, JSON, b'{"model":"chat"}')
        assert (small.status, backend.received[-1].body) == (200, b'{"model":"gpt-54-mini"}')
        assert not front.events("Destination") + front.events("No response"), "the backend is not to blame"
        assert not [line for line in front.lines if line["level"] in ("error", "critical")]


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize(
    ("target", "kind", "body", "sent"),
    [
        (V1, JSON, document(b',"x":"model"'), document(b',"x":"model"', b"gpt-54-mini")),
        (AUDIO, FORM, form(b"chat"), form(b"gpt-54-mini")),
    ],
    ids=["json", "form"],
)
async def test_a_good_large_body_streams_and_is_rewritten(
    backend: RawBackend, target: bytes, kind: bytes, body: bytes, sent: bytes, chunked: bool
) -> None:
    async with balancer(backend) as front:
        await front.settled()
        before = sockets(front)
        assert (await ask(front, target, kind, body, chunked=chunked)).status == 200
        (message,) = backend.received
        assert message.whole
        assert message.body == sent
        await at_rest(front, before + 1)  # the connection to the backend is kept


async def test_a_reply_that_began_before_the_second_model_came_is_cut() -> None:
    seen, got = asyncio.Event(), bytearray()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await seen.wait()
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                got.extend(piece)
        writer.close()

    server = await asyncio.start_server(early, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Balancer(
        BACKEND_1_URL=url, BACKEND_1_APIKEY="k", BACKEND_1_DEPLOYMENTS="chat=chat", LB_REPLAY_MAX_BYTES="4096"
    ) as front:
        await front.settled()
        before = sockets(front)
        _, kind, body, _ = TWICE["twice"]
        reader, writer = await asyncio.open_connection(*front.url.removeprefix("http://").split(":"))
        head, body = sized(V1, body, kind)
        writer.write(head.replace(b"{host}", b"lb") + body[: len(body) // 2])
        assert (await reader.readuntil(b"half")).startswith(b"HTTP/1.1 200")
        seen.set()
        writer.write(body[len(body) // 2 :])
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        await at_rest(front, before)
        assert 0 < len(got) < len(body)
        assert b"secret" not in got
        assert not front.events("Destination") + front.events("Response cut") + front.events("Request crashed")
    server.close()
