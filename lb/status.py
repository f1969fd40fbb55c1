"""`lb status`: the backends of a running balancer, live in the terminal."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import aiohttp
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from lb.display import backends_table, span, totals

REFRESH_SECONDS = 0.5
PATIENCE_SECONDS = 5.0
NOT_THERE = (aiohttp.ClientError, OSError, ValueError, TimeoutError)


class KeyWanted(ValueError):
    """It is a balancer, and wants to know who asks."""


def show(url: str, *, once: bool = False, key: str | None = None, console: Console | None = None) -> int:
    """Draw the table until Ctrl-C, or one time when `once` is asked for or nobody watches a terminal. `key` is an
    operator's, where the balancer asks for one.

    Returns 1 when nothing that we know answers there to begin with.
    """
    console = console or Console()
    try:
        return asyncio.run(watch(address(url), console, once=once or not console.is_terminal, key=key))
    except KeyboardInterrupt:
        return 0


def address(url: str) -> str:
    """Where `/status` is, from whatever of it the operator typed."""
    base = url if "://" in url else f"http://{url}"
    return f"{base.rstrip('/').removesuffix('/status')}/status"


async def fetch(session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    """The `/status` document. Raises one of `NOT_THERE`."""
    async with session.get(address, timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS)) as reply:
        if reply.status == 401:
            raise KeyWanted("it asks for an operator's key (--key-file)")
        if reply.status != 200:
            raise ValueError(f"it answers HTTP {reply.status}")
        found = await reply.json(content_type=None)
    if not isinstance(found, dict) or found.get("schema") != 1:
        raise ValueError("what answers is not the status of a balancer of this version")
    return found


async def watch(
    address: str, console: Console, *, once: bool, key: str | None = None, refresh: float = REFRESH_SECONDS
) -> int:
    """Show the status, `once` or for ever. Once seen, a balancer that is gone is waited for."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        try:
            first = await fetch(session, address)
        except NOT_THERE as problem:
            console.print(_absent(address, problem), style="red", soft_wrap=True, highlight=False)
            return 1
        if once:
            console.print(_drawn(first, address, console.width))
            return 0
        view = View(address, first, asyncio.get_running_loop().time)
        with Live(view.drawn(console.width), console=console, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(refresh)  # noqa: TID251 - the pace of a display is the point
                try:
                    view.seen(await fetch(session, address))
                except NOT_THERE as problem:
                    view.missed(problem)
                live.update(view.drawn(console.width), refresh=True)


class View:
    """What was seen last, and since when nothing was."""

    def __init__(self, address: str, status: dict[str, Any], clock: Callable[[], float]) -> None:
        self._address = address
        self._status = status
        self._clock = clock
        self._since: float | None = None
        self._note = ""

    def seen(self, status: dict[str, Any]) -> None:
        """It answered. A shorter uptime than before tells of a restart."""
        if status["uptime_seconds"] < self._status["uptime_seconds"]:
            self._note = "it was started again: counts begin anew"
        elif self._since is not None:
            self._note = f"back after {span(self._clock() - self._since)}"
        self._status, self._since = status, None

    def missed(self, problem: Exception) -> None:
        """It did not answer."""
        if self._since is None:
            self._since = self._clock()
        self._note = (
            f"no answer for {span(self._clock() - self._since)}, trying on ({_said(problem)}); this was last seen"
        )

    def drawn(self, width: int) -> RenderableType:
        """The picture."""
        return _drawn(self._status, self._address, width, self._note, stale=self._since is not None)


def _drawn(status: dict[str, Any], address: str, width: int, note: str = "", *, stale: bool = False) -> RenderableType:
    title = Text(address.removesuffix("/status"), style="bold")
    if note:
        title += Text(f"  {note}", style="red" if stale else "cyan")
    return Group(title, backends_table(status, width=width, stale=stale), totals(status))


def _absent(address: str, problem: Exception) -> str:
    if isinstance(problem, KeyWanted):
        return f"lb: no status from {address}: {problem}"
    return (
        f"lb: no status from {address}: {_said(problem)}. Is this the operator listener "
        "(LB_ADMIN_HOST and LB_ADMIN_PORT, by default http://127.0.0.1:8081)?"
    )


def _said(problem: Exception) -> str:
    if isinstance(problem, TimeoutError):
        return f"nothing came within {PATIENCE_SECONDS:g} s"
    if isinstance(
        problem, aiohttp.ClientConnectorError
    ):  # its own text has an `ssl:default` in it, with TLS or without
        return f"cannot connect to {problem.host} port {problem.port}: {_reason(problem.os_error)}"
    return str(problem) or type(problem).__name__


def _reason(problem: OSError) -> str:
    """Why, as the system says it. asyncio puts the address into its text, which stands before it already."""
    return os.strerror(problem.errno).lower() if problem.errno and problem.errno > 0 else str(problem)
