"""One chat by the official SDK, and the status that came of it."""

import openai
from balancer import Balancer
from openai import AsyncAzureOpenAI

SAID = [{"role": "user", "content": "hello"}]


def client(balancer: Balancer, key: str) -> AsyncAzureOpenAI:
    return AsyncAzureOpenAI(
        azure_endpoint=balancer.url, api_key=key, api_version="2025-04-01-preview", max_retries=0, timeout=20
    )


async def ask(sdk: AsyncAzureOpenAI) -> int:
    try:
        await sdk.chat.completions.create(model="chat", messages=SAID, max_tokens=20)  # type: ignore[call-overload]
    except openai.APIStatusError as refused:
        return refused.status_code
    return 200
