"""A backend that thinks for long: what reaches the official SDK, and what stands on the wire."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from balancer import Balancer
from openai import AsyncOpenAI
from raw import exchange, sized

BODY = b'{"model":"chat","stream":true,"messages":[{"role":"user","content":"think"}]}'
COMMENT = b": keep-alive\n\n"


def chunk(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


EVENTS = (chunk("Well"), chunk(", forty"), chunk("-two."))


async def think(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Half of an event, silence, its other half, more silence, the rest."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + EVENTS[0])
        for piece in (EVENTS[1][:20], EVENTS[1][20:], EVENTS[2] + b"data: [DONE]\n\n"):
            await asyncio.sleep(0.6)
            writer.write(piece)
    finally:
        writer.close()


@pytest.fixture
async def thoughtful() -> AsyncIterator[str]:
    server = await asyncio.start_server(think, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_official_sdk_reads_past_the_comments(thoughtful: str) -> None:
    async with (
        Balancer(BACKEND_1_URL=thoughtful, BACKEND_1_APIKEY="k", LB_SSE_KEEPALIVE_SECONDS="0.1") as front,
        AsyncOpenAI(base_url=front.url + "/openai/v1", api_key="k", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "think"}], stream=True
        )
        said = [event.choices[0].delta.content async for event in stream]
        assert said == ["Well", ", forty", "-two."]
        answer = await exchange(front.url, *sized(b"/openai/v1/chat/completions", BODY))
        before, *behind = answer.body.split(COMMENT)
        assert len(behind) >= 4, "several went out"
        assert before == EVENTS[0]
        assert b"".join([before, *behind]) == b"".join(EVENTS) + b"data: [DONE]\n\n", "and nothing else is new"
        assert all(event in answer.body for event in EVENTS), "no event was torn"
