"""What the tenants send, by the official SDK, and what each of them got."""

import asyncio
from collections.abc import Iterable
from typing import Any

import openai
from openai import AsyncAzureOpenAI

from lb.demo.appetites import Appetite
from lb.demo.plan import API_VERSION, CHAT, EMBEDDING, REPLY_TOKENS, messages, passages
from lb.demo.plate import Plate

PATIENCE = 20.0
LONGER_SECONDS = 10.0
"""For who is to be refused and was not yet: a slow machine has sent too little."""
_KINDS = ("chat", "streamed chat", "embeddings")


class Crowd:
    """All tenants at once. Use as `async with`."""

    def __init__(self, url: str, appetites: Iterable[Appetite]) -> None:
        self.plates = {each.name: Plate(each) for each in appetites}
        # Without the environment: a proxy named there does not lead to 127.0.0.1.
        self._http = openai.DefaultAsyncHttpxClient(trust_env=False)
        self._url = url

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def run(self, seconds: float) -> None:
        """Start requests for so long, and until who is beyond its budget was refused; wait for the last answers."""
        async with asyncio.TaskGroup() as running:
            for plate in self.plates.values():
                running.create_task(self._eat(plate, seconds))

    async def _eat(self, plate: Plate, seconds: float) -> None:
        appetite, loop = plate.appetite, asyncio.get_running_loop()
        over, number = loop.time() + seconds, 0
        sdk = self._client(appetite)
        async with asyncio.TaskGroup() as running:
            while loop.time() < over or (plate.is_hungry and loop.time() < over + LONGER_SECONDS):
                for _ in range(appetite.burst):
                    running.create_task(self._one(sdk, plate, number))
                    number += 1
                await asyncio.sleep(appetite.gap)  # noqa: TID251 - its appetite is a pace

    def _client(self, appetite: Appetite) -> AsyncAzureOpenAI:
        """Of this tenant; the endpoints' books are kept by the header field that only the simulator knows."""
        told: dict[str, Any] = {"api_key": appetite.key, "max_retries": 0, "timeout": PATIENCE}
        headers = {"x-sim-tenant": appetite.name}
        return AsyncAzureOpenAI(
            azure_endpoint=self._url, api_version=API_VERSION, http_client=self._http, default_headers=headers, **told
        )

    async def _one(self, sdk: AsyncAzureOpenAI, plate: Plate, number: int) -> None:
        plate.asked += 1
        try:
            await _send(sdk, _KINDS[number % len(_KINDS)], number)
            plate.served += 1
        except openai.RateLimitError as refused:
            plate.refused[refused.response.headers.get("x-lb-limit", "by an endpoint")] += 1
        except Exception as error:  # the SDK lets errors of its HTTP library through once a stream is open
            plate.wrongs[f"{type(error).__name__}: {error}"] += 1


async def _send(sdk: AsyncAzureOpenAI, kind: str, number: int) -> None:
    if kind == "embeddings":
        await sdk.embeddings.create(model=EMBEDDING, input=passages(number), dimensions=64)
        return
    told: Any = messages(number)
    if kind == "chat":
        await sdk.chat.completions.create(model=CHAT, messages=told, max_completion_tokens=REPLY_TOKENS)
        return
    stream = await sdk.chat.completions.create(
        model=CHAT, messages=told, max_completion_tokens=REPLY_TOKENS, stream=True
    )
    finished = None
    async for chunk in stream:
        if chunk.usage is not None:
            raise ValueError("a chunk with usage that the client did not ask for")
        finished = chunk.choices[0].finish_reason if chunk.choices else finished
    if not finished:
        raise ValueError("a stream that ended early")
