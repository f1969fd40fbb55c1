"""`/metrics` of the real command, against the books of the simulated endpoints."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from balancer import Balancer, backends
from prometheus_client.parser import text_string_to_metric_families

from lb.sim import Simulator

V1 = "/openai/v1/"
MESSAGES = [{"role": "user", "content": "Tell me of the harbour master and his two ledgers."}]
TOLD = {"stream": True, "stream_options": {"include_usage": True}}
ASKS: list[tuple[str, dict[str, Any]]] = [
    ("chat/completions", {"messages": MESSAGES}),
    ("chat/completions", {"messages": MESSAGES, **TOLD}),
    ("responses", {"input": "Once upon a time", "reasoning": {"effort": "low"}}),
    ("responses", {"input": "Once upon a time", "stream": True}),
    ("embeddings", {"input": ["one", "two words"]}),
]
KEYS = {"LB_CLIENT_KEYS": "ada:key-a,bob:key-b,cid:key-c"}

Samples = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        yield session


async def scraped(session: aiohttp.ClientSession, balancer: Balancer) -> Samples:
    async with session.get(f"{balancer.admin}/metrics") as reply:
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = await reply.text()
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for have, value in samples.get(name, ()) if labels.items() <= have.items())


async def until(
    session: aiohttp.ClientSession, balancer: Balancer, so: Callable[[Samples], bool], seconds: float = 30
) -> Samples:
    async with asyncio.timeout(seconds):
        while True:
            samples = await scraped(session, balancer)
            if so(samples):
                return samples
            await asyncio.sleep(0.05)


async def send(session: aiohttp.ClientSession, balancer: Balancer, number: int, **more: str) -> int:
    call, body = ASKS[number % len(ASKS)]
    name = ("ada", "bob", "cid")[number % 3]
    headers = {"api-key": f"key-{name[0]}", "x-sim-tenant": name, **more}
    async with session.post(balancer.url + V1 + call, json={"model": "chat", **body}, headers=headers) as reply:
        await reply.read()
        return reply.status


@pytest.mark.parametrize("workers", [1, 2])
async def test_tokens_of_each_tenant_are_those_of_the_endpoints_own_books(
    three: list[Simulator], session: aiohttp.ClientSession, workers: int
) -> None:
    async with Balancer(**backends(*three, **KEYS, LB_USAGE="true"), LB_WORKERS=str(workers)) as balancer:
        assert set(await asyncio.gather(*(send(session, balancer, n) for n in range(240)))) == {200}
        seen = await until(session, balancer, lambda seen: total(seen, "lb_requests_total") == 240)
    assert total(seen, "lb_workers") == workers
    for tenant in ("ada", "bob", "cid"):
        rows = [simulator.ledger.sum(tenant) for simulator in three]
        for name, metric in (("prompt", "prompt"), ("completion", "completion"), ("total", "total")):
            booked = sum(getattr(row, name) for row in rows)
            assert total(seen, f"openai_{metric}_tokens_total", tenant_name=tenant) == booked
            assert total(seen, f"openai_{metric}_tokens_sum", tenant_name=tenant) == booked
        assert total(seen, "openai_reasoning_tokens_total", tenant_name=tenant) == sum(row.reasoning for row in rows)
        assert total(seen, "lb_requests_total", tenant_name=tenant, outcome="relayed", status="200") == 80
    for number, simulator in enumerate(three, 1):
        booked = simulator.ledger.sum().total
        assert total(seen, "openai_total_tokens_total", openai_name=f"backend_{number}") == booked
        assert total(seen, "lb_attempts_total", backend=f"BACKEND_{number}") == simulator.counts.requests
    assert total(seen, "lb_usage_total", source="reported") == 240
    assert {labels["method_name"] for labels, _ in seen["openai_total_tokens_total"]} == {
        "chat",
        "responses",
        "embeddings",
    }
    assert total(seen, "lb_backend_in_flight") == 0
    assert total(seen, "process_resident_memory_bytes") > 10_000_000


async def test_a_refusal_that_another_backend_made_good_is_absorbed(
    three: list[Simulator], session: aiohttp.ClientSession
) -> None:
    preferred = {"BACKEND_1_PRIORITY": "1", "BACKEND_2_PRIORITY": "2", "BACKEND_3_PRIORITY": "3"}
    async with Balancer(**backends(*three, **KEYS, **preferred, LB_USAGE="true")) as balancer:
        assert await send(session, balancer, 0, **{"x-sim-fault": "openai1=429:7"}) == 200
        seen = await until(session, balancer, lambda seen: total(seen, "lb_requests_total") == 1)
    assert total(seen, "lb_absorbed_total", tenant_name="ada", deployment="chat") == 1
    assert total(seen, "lb_attempts_total", backend="BACKEND_1", verdict="throttled") == 1
    assert total(seen, "lb_cooldown_seconds_total", backend="BACKEND_1") == pytest.approx(7, abs=0.1)
    assert total(seen, "lb_backend_available", backend="BACKEND_1", deployment="chat") == 0
    assert 5 < total(seen, "lb_backend_absence_seconds", backend="BACKEND_1", deployment="chat") <= 7
    assert total(seen, "lb_first_byte_seconds_count") == total(seen, "lb_added_seconds_count") == 1


async def test_a_deployment_that_nobody_has_makes_no_series(
    three: list[Simulator], session: aiohttp.ClientSession
) -> None:
    async with Balancer(**backends(*three, **KEYS, LB_USAGE="true")) as balancer:
        for number in range(30):
            target = f"{balancer.url}/openai/deployments/made-up-{number}/chat/completions?api-version=2024-10-21"
            headers = {"api-key": "key-a", "x-sim-fault": "404"}
            async with session.post(target, json={"messages": MESSAGES}, headers=headers) as reply:
                assert reply.status == 502
        seen = await until(session, balancer, lambda seen: total(seen, "lb_requests_total") == 30)
    named = {labels["deployment"] for rows in seen.values() for labels, _ in rows if "deployment" in labels}
    assert not [name for name in named if "made-up" in name]


async def test_a_worker_that_dies_takes_no_count_with_it(
    three: list[Simulator], session: aiohttp.ClientSession
) -> None:
    async with Balancer(**backends(*three, **KEYS, LB_USAGE="true"), LB_WORKERS="2") as balancer:
        await asyncio.gather(*(send(session, balancer, n) for n in range(60)))
        before = await until(session, balancer, lambda seen: total(seen, "lb_requests_total") == 60)
        pids = [worker["pid"] for worker in (await balancer.status())["workers"]]
        os.kill(pids[0], signal.SIGKILL)
        restarted = await until(session, balancer, lambda seen: total(seen, "lb_workers") == 2)
        for _ in range(200):
            if pids[0] not in [worker["pid"] for worker in (await balancer.status())["workers"]]:
                break
            await asyncio.sleep(0.05)
        after = await scraped(session, balancer)
    for seen in (restarted, after):
        for name in ("lb_requests_total", "openai_total_tokens_total", "openai_total_tokens_bucket"):
            assert total(seen, name) == total(before, name)
