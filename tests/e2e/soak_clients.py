"""Two hundred clients that ask at once, and note what became of each request."""

import asyncio
import random
from dataclasses import dataclass, field

import aiohttp
import openai
from openai import AsyncAzureOpenAI, AsyncOpenAI

KINDS = ("chat", "chat-stream", "responses", "responses-stream", "embeddings")
SHARES = (30, 30, 15, 15, 10)
SDK_SHARE = 0.08
DEPLOYMENTS = 120
SAID = [{"role": "user", "content": "hello"}]
VERSION = "2025-04-01-preview"


@dataclass(slots=True)
class Asked:
    """One request and its end."""

    id: str
    kind: str
    deployment: str
    began: float
    ended: float = 0.0
    result: str = ""
    """`ok`; `cut`: the client saw that the reply is not complete; `told`: an error in the stream; `forged`: it ended
    cleanly without its last event; else the status, or what the client raised."""
    detail: str = ""


@dataclass
class Load:
    """Sends `total` requests, `width` at once."""

    url: str
    total: int
    width: int
    seed: int
    asked: list[Asked] = field(default_factory=list)

    async def run(self) -> None:
        """Until all have an end. Opens and closes its own connections."""
        self._rng = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=60)
        self._azure = AsyncAzureOpenAI(azure_endpoint=self.url, api_key="own", api_version=VERSION, max_retries=0)
        self._v1 = AsyncOpenAI(base_url=f"{self.url}/openai/v1", api_key="own", max_retries=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self._session, self._azure, self._v1:
            await asyncio.gather(*(self._client() for _ in range(self.width)))

    async def _client(self) -> None:
        loop = asyncio.get_running_loop()
        while len(self.asked) < self.total:
            kind = self._rng.choices(KINDS, SHARES)[0]
            asked = Asked(
                f"soak-{self.seed}-{len(self.asked)}", kind, f"d{self._rng.randrange(DEPLOYMENTS)}", loop.time()
            )
            self.asked.append(asked)
            ask = self._by_sdk if self._rng.random() < SDK_SHARE else self._raw
            await ask(asked)
            asked.ended = loop.time()

    async def _raw(self, asked: Asked) -> None:
        path, body = raw_form(asked, classic=self._rng.random() < 0.5)
        try:
            async with self._session.post(self.url + path, json=body, headers={"x-request-id": asked.id}) as reply:
                status = reply.status
                asked.detail = f"{status} by {reply.headers.get('x-lb-backend')}"
                content = await reply.read()
        except aiohttp.ClientPayloadError as error:
            asked.result, asked.detail = "cut", str(error)
        except (aiohttp.ClientError, TimeoutError) as error:
            asked.result, asked.detail = type(error).__name__, str(error)
        else:
            asked.result = judged(asked, status, content)
            if asked.result not in ("ok", "told"):
                asked.detail += f": {content[-300:]!r}"

    async def _by_sdk(self, asked: Asked) -> None:
        client = self._azure if self._rng.random() < 0.5 else self._v1
        try:
            last = await sdk_call(client, asked)
        except openai.APIStatusError as error:
            asked.result, asked.detail = str(error.status_code), str(error)
        except openai.APIConnectionError as error:
            asked.result, asked.detail = ("cut" if is_cut(error) else "APIConnectionError"), repr(error.__cause__)
        except openai.APIError as error:
            asked.result, asked.detail = "told", str(error)
        except Exception as error:
            asked.result, asked.detail = ("cut" if is_cut(error) else type(error).__name__), str(error)
        else:
            asked.result = "ok" if last else "forged"


def is_cut(error: BaseException) -> bool:
    """Did the transport of the SDK find the reply incomplete?"""
    told = f"{error!r} {error.__cause__!r}"
    return any(
        words in told for words in ("incomplete", "without sending complete", "RemoteProtocolError", "ReadError")
    )


def raw_form(asked: Asked, *, classic: bool) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    name, _, stream = asked.kind.partition("-")
    body: dict[str, object] = {"stream": True} if stream else {}
    body.update({"messages": SAID} if name == "chat" else {"input": "hello"})
    if name == "responses":
        path = f"/openai/responses?api-version={VERSION}" if classic else "/openai/v1/responses"
        return path, {**body, "model": asked.deployment}
    operation = "chat/completions" if name == "chat" else name
    if classic:
        return f"/openai/deployments/{asked.deployment}/{operation}?api-version={VERSION}", body
    return f"/openai/v1/{operation}", {**body, "model": asked.deployment}


def judged(asked: Asked, status: int, content: bytes) -> str:
    """What a complete reply was."""
    if status != 200:
        return str(status)
    if not asked.kind.endswith("-stream"):
        return "ok" if content.rstrip().endswith(b"}") else "forged"
    if b'"error":{' in content:
        return "told"
    ends = b"response.completed" if asked.kind.startswith("responses") else b"[DONE]"
    return "ok" if ends in content else "forged"


async def sdk_call(client: AsyncOpenAI, asked: Asked) -> bool:
    """The same request as users write it; was its end seen?"""
    headers = {"x-request-id": asked.id}
    match asked.kind:
        case "chat":
            reply = await client.chat.completions.create(model=asked.deployment, messages=SAID, extra_headers=headers)
            return bool(reply.choices[0].message.content)
        case "chat-stream":
            stream = await client.chat.completions.create(
                model=asked.deployment, messages=SAID, stream=True, extra_headers=headers
            )
            return any([chunk.choices and chunk.choices[0].finish_reason async for chunk in stream])
        case "responses":
            answer = await client.responses.create(model=asked.deployment, input="hello", extra_headers=headers)
            return bool(answer.output_text)
        case "responses-stream":
            events = await client.responses.create(
                model=asked.deployment, input="hello", stream=True, extra_headers=headers
            )
            return [event async for event in events][-1].type == "response.completed"
    vectors = await client.embeddings.create(model=asked.deployment, input="hello", extra_headers=headers)
    return len(vectors.data) == 1
