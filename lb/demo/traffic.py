"""Real traffic: the official SDK, which tries nothing a second time, so that every error shows."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import openai
from openai import AsyncAzureOpenAI, AsyncOpenAI

from lb.demo.plan import API_VERSION, BURST, CHAT, CONCURRENCY, EMBEDDING, GAP, REPLY_TOKENS, kinds, messages, passages
from lb.demo.score import Complaint, Score

PATIENCE = 20.0
"""Seconds that a request may take: far more than it does on the slowest machine, less than a viewer would wait."""


class Broken(Exception):
    """An answer that looked well and was not whole."""


class Traffic:
    """Sends what `plan` says to the balancer at `url`. Use as `async with`."""

    def __init__(self, url: str, key: str, score: Score) -> None:
        self.score = score
        # Without the environment: a proxy named there does not lead to 127.0.0.1.
        hooks = {"response": [self._replied]}
        http = openai.DefaultAsyncHttpxClient(event_hooks=hooks, trust_env=False)
        told: dict[str, Any] = {"api_key": key, "max_retries": 0, "timeout": PATIENCE, "http_client": http}
        self._azure = AsyncAzureOpenAI(azure_endpoint=url, api_version=API_VERSION, **told)
        self._v1 = AsyncOpenAI(base_url=f"{url}/openai/v1", **told)
        self._http = http
        self._send: dict[str, Callable[[int], Awaitable[None]]] = {
            "chat": lambda number: self._chat(self._azure, number),
            "streamed chat": self._streamed_chat,
            "embeddings": self._embeddings,
            "chat on v1": lambda number: self._chat(self._v1, number),
            "response on v1": self._response,
            "streamed response on v1": self._streamed_response,
        }

    async def __aenter__(self) -> "Traffic":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def run(self, seconds: float, longer: float = 0.0) -> None:
        """Start requests for so long, then wait for the last answers. It may take so many seconds longer until a
        refusal was absorbed: a slow machine has sent too little."""
        loop = asyncio.get_running_loop()
        over = loop.time() + seconds
        slots = asyncio.Semaphore(CONCURRENCY)
        async with asyncio.TaskGroup() as running:
            for number, kind in enumerate(kinds()):
                await slots.acquire()
                if loop.time() >= over and (self.score.absorbed or loop.time() >= over + longer):
                    return
                running.create_task(self._one(kind, number, slots))
                if (number + 1) % BURST == 0:
                    await asyncio.sleep(GAP)  # noqa: TID251 - the gap is what keeps us within the endpoints' room

    async def _one(self, kind: str, number: int, slots: asyncio.Semaphore) -> None:
        self.score.started += 1
        try:
            await self._send[kind](number)
            self.score.whole[kind] += 1
        except openai.APIStatusError as error:
            self._complain(kind, f"HTTP {error.status_code}: {error.message}", error.status_code)
        except (openai.OpenAIError, Broken) as error:
            cause = f" ({type(error.__cause__).__name__}: {error.__cause__})" if error.__cause__ else ""
            self._complain(kind, f"{type(error).__name__}: {error}{cause}")
        except Exception as error:  # the SDK lets errors of its HTTP library through once a stream is open
            self._complain(kind, f"the stream broke: {type(error).__name__}: {error}")
        finally:
            slots.release()

    def _complain(self, kind: str, text: str, status: int | None = None) -> None:
        self.score.complaints.append(Complaint(kind, text, status))

    async def _replied(self, response: Any) -> None:
        self.score.replied(response.status_code, response.headers)

    async def _chat(self, client: AsyncOpenAI, number: int) -> None:
        told: Any = messages(number)
        answer = await client.chat.completions.create(model=CHAT, messages=told, max_completion_tokens=REPLY_TOKENS)
        _whole(answer.choices and answer.choices[0].message.content, "an answer without text")

    async def _streamed_chat(self, number: int) -> None:
        told: Any = messages(number)
        stream = await self._azure.chat.completions.create(
            model=CHAT, messages=told, max_completion_tokens=REPLY_TOKENS, stream=True
        )
        text, finished = "", None
        async for chunk in stream:
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finished = choice.finish_reason or finished
        _whole(text and finished, f"a stream that ended early, after {len(text)} characters")

    async def _embeddings(self, number: int) -> None:
        answer = await self._azure.embeddings.create(model=EMBEDDING, input=passages(number), dimensions=64)
        _whole(len(answer.data) == len(passages(number)), f"{len(answer.data)} vectors of {len(passages(number))}")

    async def _response(self, number: int) -> None:
        told: Any = messages(number)
        answer = await self._v1.responses.create(model=CHAT, input=told, max_output_tokens=REPLY_TOKENS)
        _whole(answer.output_text, "a response without text")

    async def _streamed_response(self, number: int) -> None:
        told: Any = messages(number)
        last = ""
        stream = await self._v1.responses.create(model=CHAT, input=told, max_output_tokens=REPLY_TOKENS, stream=True)
        async for event in stream:
            last = event.type
        _whole(last in ("response.completed", "response.incomplete"), f"a stream whose last event is {last or 'none'}")


def _whole(good: object, what: str) -> None:
    if not good:
        raise Broken(what)
