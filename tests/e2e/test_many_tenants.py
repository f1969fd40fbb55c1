"""64 tenants at once, streaming and not, over every oddity of streams that the simulator knows: each tenant's tokens
are those of the endpoints' own books."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from balancer import Balancer, backends
from prometheus_client.parser import text_string_to_metric_families

from lb.sim import Settings, Simulator

COUNT = 64
ROUNDS = 8
ERROR = 0.25
"""Of an estimated answer, against the simulator's measure of tokens, which is another than a vocabulary's."""
AROUND = 8
"""Tokens around a prompt's messages, which the simulator does not count."""
MESSAGES = [{"role": "user", "content": "Tell me of the harbour master and his two ledgers, please, and of the third."}]
TOLD = {"stream": True, "stream_options": {"include_usage": True}}
WHOLE: list[tuple[str, dict[str, Any]]] = [
    ("chat/completions", {"messages": MESSAGES}),
    ("responses", {"input": "Once upon a time", "reasoning": {"effort": "low"}}),
    ("embeddings", {"input": ["one", "two words"]}),
]
STREAMS: list[tuple[str, dict[str, Any]]] = [
    ("chat/completions", {"messages": MESSAGES, **TOLD}),
    ("completions", {"prompt": "Once upon a time", **TOLD}),
    ("responses", {"input": "Once", "stream": True, "metadata": {"usage": "none"}}),
]
UNTOLD = ("chat/completions", {"messages": MESSAGES, "stream": True})
ODDITIES = [
    "",
    "split",
    "coalesce",
    "crlf",
    "cr",
    "no-final-blank",
    "no-done",
    "comments",
    "bom",
    "split,cr",
    "split,crlf",
]
SILENT = ["no-usage", "null-usage", "split,no-usage", "coalesce,null-usage", "cr,no-usage"]


def kind_of(number: int) -> str:
    """Tenants of three kinds: told by every reply, asked in its place, and left to be estimated."""
    return ("told", "asked", "told", "estimated")[number % 4]


def asks(number: int) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Call, body and what is odd about the answer."""
    for turn in range(ROUNDS):
        odd = ODDITIES[(number + turn) % len(ODDITIES)]
        if turn % 2 and kind_of(number) != "estimated":
            yield (*WHOLE[turn % len(WHOLE)], "")
        elif kind_of(number) == "told":
            yield (*STREAMS[turn // 2 % len(STREAMS)], odd)
        elif kind_of(number) == "asked":
            yield (*UNTOLD, odd)
        else:
            call, body = UNTOLD if turn % 3 else STREAMS[turn // 3 % 2]
            yield call, body, odd if turn % 3 else SILENT[number // 4 % len(SILENT)]


def configuration() -> str:
    """The tenants and their keys."""
    names = [f"t{number:02}" for number in range(COUNT)]
    limits = {"tokens_per_day": 10**9, "tokens_per_minute": 10**9, "requests_per_minute": 10**6, "max_concurrent": 100}
    tenants = [{"name": name, **limits, "include_usage": kind_of(int(name[1:])) == "asked"} for name in names]
    return json.dumps({"tenants": tenants, "clients": [{"name": name, "keys": [f"key-{name}"]} for name in names]})


async def send(session: aiohttp.ClientSession, url: str, number: int) -> int:
    """All requests of one tenant, three at a time. Returns how many were answered in full."""
    slots, name = asyncio.Semaphore(3), f"t{number:02}"

    async def one(call: str, body: dict[str, Any], odd: str) -> bool:
        headers = {"api-key": f"key-{name}", "x-sim-tenant": name, **({"x-sim-fault": odd} if odd else {})}
        sent = {"model": "chat", **body}
        async with slots, session.post(f"{url}/openai/v1/{call}", json=sent, headers=headers) as told:
            return told.status == 200 and bool(await told.read())

    return sum(await asyncio.gather(*(one(*ask) for ask in asks(number))))


def by_tenant(text: str, name: str, **labels: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                tenant = sample.labels["tenant_name"]
                found[tenant] = found.get(tenant, 0) + sample.value
    return found


@pytest.mark.timeout(300)  # ten seconds on a machine of its own
async def test_what_each_of_64_tenants_used_is_what_the_endpoints_booked_for_it() -> None:
    simulators = [Simulator(Settings(name=f"openai{number}", reply_tokens=60)) for number in (1, 2, 3)]
    settings = {"LB_CONFIG_INLINE": configuration(), "LB_WORKERS": "2"}
    for simulator in simulators:
        await simulator.start()
    try:
        async with (
            Balancer(**backends(*simulators, **settings)) as balancer,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            answered = await asyncio.gather(*(send(session, balancer.url, number) for number in range(COUNT)))
            assert answered == [ROUNDS] * COUNT
            shown = await balancer.metrics()
            async with asyncio.timeout(30):
                while sum(by_tenant(shown, "lb_requests_total").values()) < COUNT * ROUNDS:
                    shown = await balancer.metrics()
    finally:
        for simulator in simulators:
            await simulator.stop()
    totals = by_tenant(shown, "openai_total_tokens_total")
    prompts, completions = (by_tenant(shown, f"openai_{what}_tokens_total") for what in ("prompt", "completion"))
    estimated = by_tenant(shown, "lb_usage_total", source="estimated")
    assert set(by_tenant(shown, "lb_usage_total", source="unknown").values()) == {0}
    assert by_tenant(shown, "lb_quota_used", limit="tokens_per_day") == totals, "budgets are settled with the same"
    for number in range(COUNT):
        name = f"t{number:02}"
        rows = [simulator.ledger.sum(name) for simulator in simulators]
        booked = [sum(getattr(row, what) for row in rows) for what in ("prompt", "completion", "total")]
        counted = [prompts[name], completions[name], totals[name]]
        if kind_of(number) == "estimated":
            assert estimated[name] > ROUNDS / 2
            assert completions[name] == pytest.approx(booked[1], rel=ERROR), name
            assert booked[0] <= prompts[name] <= booked[0] + ROUNDS * AROUND, name
        else:
            assert estimated[name] == 0
            assert counted == booked, name
