"""The audit of the real command: what the official SDK said and got is what stands in the records."""

import asyncio
import fcntl
import json
import re
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asks import client
from balancer import Balancer, backends
from openai import AsyncAzureOpenAI

from lb.sim import Settings, Simulator
from lb.sim.settings import Span

KEYS = {"LB_CLIENT_KEYS": "ada:key-a,bob:key-b,cid:key-c"}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
TENANTS = "tenants: [{name: ada, audit: true}, {name: bob, audit: false}, {name: cid}]"


def audited(simulators: list[Simulator], path: Path, **more: str) -> Balancer:
    return Balancer(**backends(*simulators, **KEYS, LB_AUDIT="file", LB_AUDIT_FILE=str(path), **more))


def records(path: Path) -> list[dict[str, Any]]:
    """All of all workers."""
    files = sorted(path.parent.glob("audit*.jsonl*"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def modes(folder: Path) -> list[int]:
    return [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()]


async def said(path: Path, so: Callable[[list[dict[str, Any]]], bool], seconds: float = 30) -> list[dict[str, Any]]:
    async with asyncio.timeout(seconds):
        while True:
            found = await asyncio.to_thread(records, path)
            if so(found):
                return found
            await asyncio.sleep(0.05)


async def chat(sdk: AsyncAzureOpenAI, text: str, **more: Any) -> tuple[dict[int, str], dict[int, str]]:
    """What the SDK got by choice: text, and arguments of a tool's call."""
    asked: Any = {"model": "chat", "messages": [{"role": "user", "content": text}], **more}
    stream = await sdk.chat.completions.create(**asked, stream=True)
    texts: dict[int, str] = {}
    arguments: dict[int, str] = {}
    async for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            for call in choice.delta.tool_calls or ():
                arguments[choice.index] = arguments.get(choice.index, "") + (call.function.arguments or "")
    return texts, arguments


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_records_say_what_the_sdk_said_and_got(three: list[Simulator], tmp_path: Path, workers: str) -> None:
    path = tmp_path / "audit.jsonl"
    got: dict[str, tuple[dict[int, str], dict[int, str]]] = {}
    async with audited(three, path, LB_WORKERS=workers) as balancer, client(balancer, "key-a") as sdk:
        warned = await balancer.line(lambda line: "RECORDED" in line["event"])
        assert (warned["level"], str(path) in warned["event"]) == ("warning", True)
        for number in range(8):
            odd = {"x-sim-fault": ["split", "coalesce", "crlf", "comments"][number % 4]}
            more: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required"} if number % 2 else {"n": 2}
            got[f"question {number}"] = await chat(sdk, f"question {number}", extra_headers=odd, **more)
        await sdk.embeddings.create(model="embedding", input=["one", "two"])
        response = await sdk.responses.create(model="chat", input="And a response?")
        found = await said(path, lambda found: len(found) == 10)
    by_question = {record["prompt"][-1]["content"]: record for record in found}
    for question, (texts, arguments) in got.items():
        record = by_question[question]
        assert {turn["index"]: turn["content"] for turn in record["response"]} == texts
        calls = {
            turn["index"]: turn["tool_calls"][0]["arguments"] for turn in record["response"] if "tool_calls" in turn
        }
        assert calls == arguments
        assert (record["tenant"], record["ip"], record["outcome"], record["stream"]) == (
            "ada",
            "127.0.0.1",
            "relayed",
            True,
        )
        assert record["total_tokens"] > 0
        assert record["backend"].startswith("BACKEND_")
    assert by_question["two"]["response"] == [{"embeddings": 2, "dimensions": 1536}]
    assert by_question["And a response?"]["response"][-1]["content"] == response.output_text
    assert set(modes(tmp_path)) == {0o600}
    assert len(modes(tmp_path)) <= int(workers)


async def test_each_tenant_has_a_say_and_may_change_it_while_all_runs(three: list[Simulator], tmp_path: Path) -> None:
    path, config = tmp_path / "audit.jsonl", tmp_path / "lb.yaml"
    config.write_text(TENANTS)
    settings = {"LB_AUDIT_WHO": "none", "LB_CONFIG": str(config)}
    async with audited(three, path, **settings) as balancer:
        for key in ("key-a", "key-b", "key-c"):
            async with client(balancer, key) as sdk:
                await chat(sdk, f"from {key}")
        found = await said(path, lambda found: len(found) == 1)
        assert [record["tenant"] for record in found] == ["ada"]
        config.write_text(TENANTS.replace("true", "maybe").replace("false", "true").replace("maybe", "false"))
        assert balancer.process is not None
        balancer.process.send_signal(signal.SIGHUP)
        await balancer.line(lambda line: line["event"] == "Configuration reloaded")
        for key in ("key-a", "key-b"):
            async with client(balancer, key) as sdk:
                await chat(sdk, f"from {key}")
        found = await said(path, lambda found: len(found) == 2)
    assert [record["tenant"] for record in await asyncio.to_thread(records, path)] == ["ada", "bob"]


async def test_a_stream_that_was_left_is_recorded_with_what_went_out(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with (
        Simulator(Settings(reply_tokens=400, token_delay=Span(0.01, 0.01))) as slow,
        audited([slow], path) as balancer,
    ):
        asked = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        async with aiohttp.ClientSession() as session:
            url = f"{balancer.url}/openai/v1/chat/completions"
            async with session.post(url, json=asked, headers={"api-key": "key-a"}) as reply:
                read = b""
                while read.count(b"data:") < 20:
                    read += await reply.content.readany()
        (record,) = await said(path, lambda found: len(found) == 1)
    assert record["outcome"] == "abandoned"
    assert 5 < len(record["response"][0]["content"].split()) < 300


async def test_a_balancer_that_is_killed_leaves_no_clerk_behind_and_what_it_had_is_written(
    three: list[Simulator], tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    async with audited(three, path) as balancer, client(balancer, "key-a") as sdk:
        await chat(sdk, "the last words")
        assert balancer.process is not None
        async with asyncio.timeout(30):
            while not handed_over(await balancer.metrics()):
                pass  # then it is with the clerk, and hardly in the file yet: that collects for a second
        balancer.process.kill()
        found = await said(path, lambda found: len(found) == 1)
        assert found[0]["prompt"][0]["content"] == "the last words"
        async with asyncio.timeout(30):
            while True:  # whoever writes to it holds a lock on it
                with path.open("rb") as file:
                    if not held(file.fileno()):
                        break
                await asyncio.sleep(0.05)


def handed_over(shown: str) -> bool:
    """Nothing waits of a request that has ended."""
    ended = re.search(r'^lb_requests_total{.*outcome="relayed".*} 1\.0$', shown, re.MULTILINE)
    return ended is not None and "\nlb_audit_held_bytes 0.0\n" in shown


def held(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


async def test_nothing_of_a_prompt_is_anywhere_else(three: list[Simulator], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with audited(three, path, LB_LOG_LEVEL="debug") as balancer, client(balancer, "key-a") as sdk:
        await chat(sdk, "the secret of the harbour")
        await said(path, lambda found: len(found) == 1)
    assert not [line for line in balancer.lines if "harbour" in json.dumps(line)]


async def test_records_on_stdout_are_lines_among_the_others(three: list[Simulator]) -> None:
    settings = backends(*three, **KEYS, LB_AUDIT="stdout", LB_AUDIT_REDACT="town=harb\\w+")
    async with Balancer(**settings) as balancer, client(balancer, "key-a") as sdk:
        await chat(sdk, "the secret of the harbour")
        line = await balancer.line(lambda line: line["event"] == "Audit")
        async with aiohttp.ClientSession() as session, session.get(f"{balancer.admin}/metrics") as reply:
            text = await reply.text()
    assert line["prompt"] == [{"role": "user", "content": "the secret of the [town]"}]
    assert line["redacted"] == {"town": 1}
    assert "lb_audit_up 1.0" in text
