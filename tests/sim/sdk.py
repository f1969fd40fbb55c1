"""Clients of the official SDK for simulated resources."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import openai

from lb.sim import Simulator


@asynccontextmanager
async def clients(
    simulators: Sequence[Simulator], form: str, api_version: str = "2025-04-01-preview"
) -> AsyncIterator[list[openai.AsyncOpenAI]]:
    """One for each simulator, of the `form` `azure` or `v1`, which gives up at once."""
    async with AsyncExitStack() as stack:
        made: list[openai.AsyncOpenAI] = []
        for sim in simulators:
            client = (
                openai.AsyncAzureOpenAI(azure_endpoint=sim.url, api_key="any", api_version=api_version, max_retries=0)
                if form == "azure"
                else openai.AsyncOpenAI(base_url=f"{sim.url}/openai/v1", api_key="any", max_retries=0)
            )
            made.append(await stack.enter_async_context(client))
        yield made
