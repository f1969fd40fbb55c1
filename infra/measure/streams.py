"""What streams that wait cost one worker: `.venv/bin/python infra/measure/streams.py [streams]`, on this machine alone.

Starts a simulated endpoint and `lb serve`, holds that many streams open at once for some seconds, prints the memory
and the processor time that the balancer took and the size of what it logged.
"""

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

import aiohttp

LB = Path(sys.executable).parent / "lb"
STREAMS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
BODY = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
SLOW = ["--token-delay", "0.5", "--reply-tokens", "20"]


async def main() -> None:
    simulator, backend = await _started([str(LB), "sim", *SLOW], dict(os.environ), r"http://\S+?:\d+")
    settings = {"LB_HOST": "127.0.0.1", "LB_PORT": "0", "LB_ADMIN_PORT": "0", "LB_LOG_FORMAT": "json"}
    environ = {**os.environ, **settings, "BACKEND_1_URL": backend, "BACKEND_1_APIKEY": "any"}
    with tempfile.NamedTemporaryFile() as log:
        balancer = await asyncio.create_subprocess_exec(LB, "serve", env=environ, stdout=log)
        url = await _address(Path(log.name))
        idle = _resident(balancer.pid)
        await asyncio.gather(_hold(url), _report(balancer.pid, idle))
        print(f"log: {os.stat(log.name).st_size / STREAMS:.0f} bytes for each request")
        balancer.terminate()
        await balancer.wait()
    simulator.terminate()
    await simulator.wait()


async def _started(command: list[str], environ: dict[str, str], wanted: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    found = re.search(wanted, (await process.stdout.readline()).decode())
    assert found
    return process, found.group()


async def _address(log: Path) -> str:
    async with asyncio.timeout(20):
        while not (found := re.search(r"Listening on (http://[^\"]+)", await asyncio.to_thread(log.read_text))):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.1)
    return found.group(1)


async def _hold(url: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(_stream(session, url) for _ in range(STREAMS)))


async def _stream(session: aiohttp.ClientSession, url: str) -> None:
    async with session.post(f"{url}/openai/v1/chat/completions", json=BODY) as reply:
        assert reply.status == 200, reply.status
        assert b"[DONE]" in await reply.read()


async def _report(pid: int, idle: float) -> None:
    await asyncio.sleep(5)
    used, before = _resident(pid), _processor(pid)
    print(f"memory: {idle:.0f} MiB idle, {used:.0f} MiB with {STREAMS} open streams")
    await asyncio.sleep(4)
    events = STREAMS * 4 / 0.5
    print(f"processor: {(_processor(pid) - before) / 4:.1%} of one core, at {events / 4:.0f} relayed events a second")


def _resident(pid: int) -> float:
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    asyncio.run(main())
