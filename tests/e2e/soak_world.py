"""The processes of a soak: three simulators and the balancer, and what can be asked of them from outside."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

HERE = Path(__file__).parent
START_SECONDS = 60
RELOADED = b"Configuration reloaded"


@asynccontextmanager
async def running(*arguments: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process, ended at the end."""
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()
        process._transport.close()  # type: ignore[attr-defined] # else it warns when the loop is gone


@dataclass(frozen=True, slots=True)
class Standing:
    """What a process holds."""

    tasks: int
    sockets: int
    files: int
    in_flight: int


class World:
    """Three endpoints `openai1` to `openai3`, and the balancer in front of them as BACKEND_1 to BACKEND_3."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.log = place / "balancer.log"
        self.simulators: list[str] = []
        self.url = self.admin = ""
        self.pid = 0
        self._session: aiohttp.ClientSession

    async def start(self, stack: AsyncExitStack, keep_requests: int, limits: dict[str, float]) -> None:
        """Start everything; `stack` ends it."""
        self._session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        )
        for number in (1, 2, 3):
            simulator = await stack.enter_async_context(
                running(
                    str(HERE / "soak_simulator.py"), f"openai{number}", str(keep_requests),
                    stdout=asyncio.subprocess.PIPE,
                )
            )  # fmt: skip
            assert simulator.stdout is not None
            self.simulators.append((await simulator.stdout.readline()).decode().strip())
        ports = free_ports(2)
        self.url, self.admin = (f"http://127.0.0.1:{port}" for port in ports)
        self.configure(limits)
        environ = {k: v for k, v in os.environ.items() if not k.upper().startswith(("LB_", "BACKEND_", "HTTP_"))}
        environ |= {"LB_HOST": "127.0.0.1", "LB_PORT": str(ports[0]), "LB_ADMIN_PORT": str(ports[1]),
                    "LB_CONFIG": str(self.place / "lb.yaml"), "SOAK_TASKS": str(self.place / "tasks")}  # fmt: skip
        with self.log.open("wb") as log:
            balancer = await stack.enter_async_context(
                running(str(HERE / "soak_balancer.py"), "serve", env=environ, stdout=log)
            )
        self.pid = balancer.pid
        async with asyncio.timeout(START_SECONDS):
            while not await self._ready():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)

    async def _ready(self) -> bool:
        try:
            async with self._session.get(f"{self.url}/readyz") as reply:
                return reply.status == 200
        except aiohttp.ClientError:
            return False

    def configure(self, limits: dict[str, float]) -> None:
        """Write the configuration, and have it read where the balancer runs already."""
        fresh = self.place / "lb.new"
        backends = [
            {"name": f"BACKEND_{number}", "url": url, "api_key": f"key-of-{number}"}
            for number, url in enumerate(self.simulators, 1)
        ]
        fresh.write_text(json.dumps({"backends": backends, "limits": limits}))
        fresh.rename(self.place / "lb.yaml")
        if self.pid:
            os.kill(self.pid, signal.SIGHUP)

    async def misbehave(self, number: int, rules: list[str]) -> None:
        """From now on these rules hold at simulator `number` (from 0), and no others."""
        await self.sim(number, "faults", {"clear": True, "add": rules})

    async def sim(self, number: int, what: str, said: dict[str, Any] | None = None) -> Any:
        """Ask a simulator, or tell it something; while it refuses connections, wait."""
        url = f"{self.simulators[number]}/_sim/{what}"
        for _ in range(100):
            try:
                if said is None:
                    async with self._session.get(url) as reply:
                        return json.loads(await reply.read())
                async with self._session.post(url, json=said) as reply:
                    return json.loads(await reply.read())
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
        raise RuntimeError(f"{url} does not answer")

    async def status(self) -> dict[str, Any]:
        """The document of the operator listener."""
        async with self._session.get(f"{self.admin}/status") as reply:
            found: dict[str, Any] = json.loads(await reply.read())
            return found

    async def standing(self) -> Standing:
        """What the balancer holds now."""
        rows = (await self.status())["backends"]
        told = self.place / "tasks"
        told.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        async with asyncio.timeout(30):
            while not told.exists():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        files = open_files(self.pid)
        sockets = sum(name.startswith("socket:") for name in files)
        return Standing(int(told.read_text()), sockets, len(files), sum(row["in_flight"] for row in rows))

    async def told(self) -> None:
        """Wait until its log says all that has happened so far. Lines keep their order, so one more is asked for."""
        size = self.log.stat().st_size
        os.kill(self.pid, signal.SIGHUP)
        async with asyncio.timeout(30):
            while RELOADED not in self.log.read_bytes()[size:]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)

    def resident(self) -> float:
        """RSS of the balancer in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files(pid: int) -> list[str]:
    """What the process's descriptors point at."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # closed meanwhile
    return found


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports
