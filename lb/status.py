"""`lb status`: the backends of a running balancer, live in the terminal."""

import asyncio
from typing import Any

import aiohttp
from rich.console import Console
from rich.live import Live

from lb.display import backends_table

REFRESH_SECONDS = 0.5


def show(url: str, *, once: bool = False) -> int:
    """Draw the table until Ctrl-C. Returns 1 when nothing that we know answers there."""
    console = Console()
    address = _address(url)
    try:
        asyncio.run(_once(address, console) if once else _live(address, console))
    except KeyboardInterrupt:
        return 0
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TimeoutError) as problem:
        console.print(
            f"lb: no status from {address}: {problem or type(problem).__name__}. Is this the operator listener "
            "(LB_ADMIN_HOST and LB_ADMIN_PORT, by default http://127.0.0.1:8081)?",
            style="red",
            soft_wrap=True,
        )
        return 1
    return 0


def _address(url: str) -> str:
    base = url if "://" in url else f"http://{url}"
    return f"{base.removesuffix('/').removesuffix('/status')}/status"


async def fetch(session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    """The `/status` document. Raises ValueError when it is something else."""
    async with session.get(address, timeout=aiohttp.ClientTimeout(total=5)) as reply:
        if reply.status != 200:
            raise ValueError(f"HTTP {reply.status}")
        found = await reply.json()
    if not isinstance(found, dict) or found.get("schema") != 1:
        raise ValueError("that is not the status of a balancer of this version")
    return found


async def _once(address: str, console: Console) -> None:
    async with aiohttp.ClientSession() as session:
        console.print(backends_table(await fetch(session, address), title=address))


async def _live(address: str, console: Console) -> None:
    async with aiohttp.ClientSession() as session:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(backends_table(await fetch(session, address), title=address), refresh=True)
                await asyncio.sleep(REFRESH_SECONDS)  # noqa: TID251 - the pace of a display is the point
