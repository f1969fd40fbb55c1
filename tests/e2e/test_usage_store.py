"""`LB_USAGE_STORE` and `lb usage` of the real command: what the file says is what the endpoints' own books say."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from balancer import Balancer, backends

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
KEYS = {"LB_CLIENT_KEYS": "ada:key-a,bob:key-b,cid:key-c", "LB_CONFIG_INLINE": "tenants: [{name: ada}, {name: bob}]"}
KEYS["LB_TENANT_DEFAULT"] = "bob"
COUNTS = ("requests", "prompt", "completion", "total", "cached", "reasoning")


async def send(session: aiohttp.ClientSession, balancer: Balancer, number: int) -> None:
    call, body = ASKS[number % len(ASKS)]
    name = ("ada", "bob", "cid")[number % 3]
    headers = {"api-key": f"key-{name[0]}", "x-sim-tenant": "ada" if name == "ada" else "bob"}
    async with session.post(balancer.url + V1 + call, json={"model": "chat", **body}, headers=headers) as reply:
        await reply.read()
        assert reply.status == 200


async def flood(balancer: Balancer, requests: int) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        await asyncio.gather(*(send(session, balancer, number) for number in range(requests)))


async def reported(path: Path, *options: str) -> dict[str, Any]:
    command = (sys.executable, "-m", "lb", "usage", "--store", str(path), "--format", "json", *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    told: dict[str, Any] = json.loads(out)
    return told


async def until(so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while True:
            if await so():
                return
            await asyncio.sleep(0.1)


async def entered(path: Path, requests: int) -> bool:
    return await asyncio.to_thread(path.exists) and (await reported(path))["all"]["requests"] == requests


async def serving(balancer: Balancer, workers: int) -> bool:
    return len((await balancer.status())["workers"]) == workers


@pytest.mark.parametrize("workers", [1, 3])
async def test_the_report_is_what_the_endpoints_own_books_say(
    three: list[Simulator], tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "usage.db"
    settings = {**KEYS, "LB_USAGE_STORE": str(path), "LB_WORKERS": str(workers)}
    async with Balancer(**backends(*three, **settings)) as balancer:
        await flood(balancer, 300)
    told = await reported(path, "--by", "tenant")
    assert [row["tenant"] for row in told["rows"]] == ["ada", "bob"]
    for row in told["rows"]:
        books = [simulator.ledger.sum(row["tenant"]) for simulator in three]
        assert {name: row[name] for name in COUNTS} == {
            name: sum(getattr(book, name) for book in books) for name in COUNTS
        }
    told = await reported(path, "--by", "backend,call")
    assert {row["call"] for row in told["rows"]} == {"chat", "responses", "embeddings"}
    assert (told["all"]["requests"], told["all"]["estimated"], told["all"]["unknown"]) == (300, 0, 0)
    for number, simulator in enumerate(three, 1):
        theirs = [row["total"] for row in told["rows"] if row["backend"] == f"BACKEND_{number}"]
        assert sum(theirs) == simulator.ledger.sum().total


async def test_a_worker_that_is_killed_loses_no_more_than_its_last_seconds(
    three: list[Simulator], tmp_path: Path
) -> None:
    path = tmp_path / "usage.db"
    settings = {**KEYS, "LB_USAGE_STORE": str(path), "LB_WORKERS": "2"}
    async with Balancer(**backends(*three, **settings)) as balancer:
        await flood(balancer, 60)
        await until(lambda: entered(path, 60))
        for worker in (await balancer.status())["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
        await balancer.line(lambda line: "another is started" in line["event"])
        await until(lambda: serving(balancer, 2))
        await flood(balancer, 30)
    assert (await reported(path))["all"]["requests"] == 90


async def test_a_store_that_cannot_be_written_stops_no_traffic(three: list[Simulator], tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    path.write_text("something else entirely, that nobody may overwrite\n" * 20)
    async with Balancer(**backends(*three, **KEYS, LB_USAGE_STORE=str(path))) as balancer:
        await flood(balancer, 15)
        line = await balancer.line(lambda line: line["event"].startswith("Usage cannot be stored"))
        assert line["event"].endswith("usage.db: file is not a database")
        async with aiohttp.ClientSession() as session, session.get(f"{balancer.admin}/metrics") as reply:
            text = await reply.text()
        assert "lb_usage_store_waiting 15.0" in text
        path.unlink()
        await balancer.line(lambda line: line["event"].startswith("Usage is stored again"), 20)
    assert (await reported(path))["all"]["requests"] == 15
