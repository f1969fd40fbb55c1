"""`/status` of the real command is what its schema says, in one process and with several."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asks import ask, client
from balancer import PATIENCE, Balancer, backends
from schema import SCHEMA, problems

from lb.sim import Simulator

TENANTS = """
tenants:
  - name: ada
    requests_per_minute: 20
    tokens_per_minute: 100000
    per_deployment: {chat: {tokens_per_day: 1000000}}
"""


async def fetched(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        assert reply.status == 200
        return await reply.json(content_type=None)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_real_document_is_what_the_schema_says(three: list[Simulator], workers: str) -> None:
    three[0].faults.add("chat=429:30")
    settings = {"LB_CLIENT_KEYS": "ada:key-a", "LB_CONFIG_INLINE": TENANTS, "LB_WORKERS": workers}
    async with Balancer(**backends(*three, **settings)) as balancer:
        async with client(balancer, "key-a") as ada:
            assert [await ask(ada) for _ in range(22)] == [200] * 20 + [429] * 2
        async with asyncio.timeout(PATIENCE):  # of a worker that is busy the operator listener shows what it last said
            while (status := await fetched(f"{balancer.admin}/status"))["requests"]["finished"] < 22:
                pass
        assert await fetched(f"{balancer.admin}/status/schema") == SCHEMA
    assert list(problems(status)) == []
    assert ("workers" in status) == (workers != "1")
    (tenant,) = status["tenants"]
    assert {(one["limit"], one["deployment"]) for one in tenant["budgets"]} == {
        ("requests_per_minute", None),
        ("tokens_per_minute", None),
        ("tokens_per_day", "chat"),
    }
    assert len(status["recent"]) == 22
    assert [entry["status"] for entry in status["recent"][:3]] == [429, 429, 200]
    (failover,) = [entry for entry in status["recent"] if len(entry["attempts"]) > 1]
    assert [(one["backend"], one["status"], one["asked_seconds"]) for one in failover["attempts"]] == [
        ("BACKEND_1", 429, 30.0),
        (failover["backend"], 200, None),
    ]
    assert all(entry["tokens"] for entry in status["recent"][2:])


def test_the_judge_of_documents_finds_what_is_wrong() -> None:
    assert "/schema is missing" in list(problems({}))
    assert list(problems({"connections": -1.5, "extra": 1}, {**SCHEMA, "required": []})) == [
        "/connections: -1.5 is not integer",
        "/extra is not in the schema",
    ]


def test_every_field_of_the_schema_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "status.md").read_text()
    told = set(re.findall(r"`(?:\w+\.)?(\w+)`", document))
    named = set(SCHEMA["properties"]).union(*(each["properties"] for each in SCHEMA["$defs"].values()))
    assert named - {"schema", "requests"} <= told


def test_the_example_of_the_document_is_what_the_schema_says() -> None:
    document = (Path(__file__).parents[2] / "docs" / "status.md").read_text()
    example = json.loads(document.split("```json")[1].split("```")[0])
    assert [problem for problem in problems(example) if "has 5 items" not in problem] == []
