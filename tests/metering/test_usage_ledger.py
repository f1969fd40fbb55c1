"""What the taps read of a simulated endpoint's replies, against that endpoint's own books."""

import asyncio
import json
from collections import Counter
from typing import Any

import aiohttp
import pytest

from lb.metering.estimate import prompt_tokens
from lb.metering.tap import UsageTap
from lb.metering.usage import Usage
from lb.sim import Settings, Simulator

V1 = "/openai/v1/"
MESSAGES = [{"role": "user", "content": "Tell me of the harbour master and his two ledgers, please."}]
ASKS: list[tuple[str, dict[str, Any]]] = [
    ("chat/completions", {"messages": MESSAGES}),
    ("chat/completions", {"messages": MESSAGES, "reasoning_effort": "low", "n": 3}),
    ("chat/completions", {"messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}),
    ("completions", {"prompt": "Once upon a time", "max_tokens": 9}),
    ("completions", {"prompt": "Once", "stream": True, "stream_options": {"include_usage": True}}),
    ("responses", {"input": "Once upon a time"}),
    ("responses", {"input": "Once", "stream": True, "reasoning": {"effort": "low"}, "metadata": {"usage": "none"}}),
    ("responses", {"input": "Once", "stream": True, "max_output_tokens": 3}),
    ("embeddings", {"input": ["one", "two words"], "encoding_format": "base64"}),
    ("embeddings", {"input": "numbers", "dimensions": 64}),
]
ODDITIES = ["split", "coalesce", "crlf", "cr", "no-final-blank", "no-done", "comments", "bom", "split,cr", "split,crlf"]


async def tapped(
    session: aiohttp.ClientSession, url: str, call: str, body: dict[str, Any], tenant: str, odd: str = ""
) -> Usage:
    """Ask, and read the reply through a tap as it arrives."""
    sent = json.dumps({"model": "chat", **body}).encode()
    headers = {"Content-Type": "application/json", "x-sim-tenant": tenant, **({"x-sim-fault": odd} if odd else {})}
    async with session.post(url + V1 + call, data=sent, headers=headers) as reply:
        told = reply.headers
        tap = UsageTap(
            told["Content-Type"].encode(),
            told.get("Content-Encoding", "").encode(),
            lambda count: prompt_tokens(sent, count),
        )
        try:
            async for chunk in reply.content.iter_any():
                tap.data(chunk)
        except aiohttp.ClientError:
            pass
    assert tap.failure is None
    return tap.usage()


def sums(usages: list[Usage]) -> Counter[str]:
    total: Counter[str] = Counter()
    for usage in usages:
        total.update({name: getattr(usage, name) for name in ("prompt", "completion", "cached", "reasoning", "total")})
    return total


async def test_64_at_once_add_up_to_the_endpoints_own_books() -> None:
    async with Simulator(Settings(reply_tokens=40)) as sim, aiohttp.ClientSession(auto_decompress=False) as session:
        asks = [(*ASKS[i % len(ASKS)], f"tenant-{i % 5}", ["", "gzip", "split"][i % 3]) for i in range(320)]
        slots = asyncio.Semaphore(64)
        usages: dict[str, list[Usage]] = {}

        async def one(call: str, body: dict[str, Any], tenant: str, odd: str) -> None:
            odd = odd if bool(body.get("stream")) == (odd == "split") else ""
            async with slots:
                usages.setdefault(tenant, []).append(await tapped(session, sim.url, call, body, tenant, odd))

        await asyncio.gather(*(one(*ask) for ask in asks))
        assert not [usage for all_of in usages.values() for usage in all_of if usage.estimated or usage.unknown]
        for tenant, theirs in usages.items():
            row = sim.ledger.sum(tenant)
            assert sums(theirs) == Counter(_of(row))
            assert row.requests == len(theirs)


def _of(row: Any) -> dict[str, int]:
    return {name: getattr(row, name) for name in ("prompt", "completion", "cached", "reasoning", "total")}


@pytest.mark.parametrize("odd", ODDITIES)
async def test_an_odd_stream_tells_the_same(odd: str) -> None:
    async with Simulator() as sim, aiohttp.ClientSession(auto_decompress=False) as session:
        for call, body in (ask for ask in ASKS if ask[1].get("stream")):
            sim.ledger.clear()
            usage = await tapped(session, sim.url, call, body, "t", odd)
            assert not usage.estimated
            assert sums([usage]) == Counter(_of(sim.ledger.sum("t")))


@pytest.mark.parametrize("odd", ["no-usage", "null-usage", "split,no-usage", "coalesce,null-usage"])
async def test_a_stream_that_tells_nothing_is_estimated_and_says_so(odd: str) -> None:
    async with Simulator(Settings(reply_tokens=200)) as sim, aiohttp.ClientSession() as session:
        for call, body in (ask for ask in ASKS if ask[1].get("stream") and "max_output_tokens" not in ask[1]):
            sim.ledger.clear()
            usage = await tapped(session, sim.url, call, {**body, "reasoning": None}, "t", odd)
            row = sim.ledger.sum("t")
            assert usage.estimated
            assert usage.completion == pytest.approx(row.completion, rel=0.25)
            assert usage.prompt == pytest.approx(row.prompt, abs=8)


@pytest.mark.parametrize("fault", ["cut-mid-stream"])
async def test_a_stream_that_the_backend_cut_is_accounted_up_to_there(fault: str) -> None:
    async with Simulator(Settings(reply_tokens=200)) as sim, aiohttp.ClientSession() as session:
        usage = await tapped(session, sim.url, "chat/completions", {"messages": MESSAGES, "stream": True}, "t", fault)
        assert usage.estimated
        assert usage.completion == pytest.approx(sim.ledger.sum("t").completion, rel=0.25)


async def test_a_body_that_the_backend_cut_is_unknown() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as session:
        usage = await tapped(session, sim.url, "chat/completions", {"messages": MESSAGES}, "t", "cut-mid-body")
        assert usage.unknown


async def test_what_a_reset_swallowed_is_not_accounted() -> None:
    async with Simulator(Settings(reply_tokens=200)) as sim, aiohttp.ClientSession() as session:
        asked = {"messages": MESSAGES, "stream": True}
        usage = await tapped(session, sim.url, "chat/completions", asked, "t", "reset-mid-stream")
        assert usage.estimated
        assert usage.completion <= sim.ledger.sum("t").completion * 1.25
