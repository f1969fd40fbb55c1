"""`lb status` against a listener that serves the schema, and against a real balancer."""

import asyncio
import contextlib
import io
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from rich.console import Console

from lb.admin.status import document
from lb.balancing.backend import Backend
from lb.balancing.snapshot import Row
from lb.demo.children import Child
from lb.demo.stage import listening
from lb.status import address, fetch, watch
from lb.telemetry.metrics import Metrics
from lb.telemetry.rates import Rates

TOTALS = {"finished": 7, "outcomes": {"relayed": 7}, "attempts": 9, "verdicts": {}, "throttled_absorbed": 2}

STANDINGS: dict[str, Any] = {"waiting": 0, "tenants": []}


class Listener:
    """An operator listener that says what the test wants. While it is down nobody else gets its port."""

    def __init__(self) -> None:
        self.uptime = 100.0
        self.status = 200
        self.key = ""
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._held: socket.socket | None = None

    async def up(self) -> None:
        app = web.Application()
        app.router.add_get("/status", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        self._let_go()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def down(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self._held = socket.socket()  # bound and not listening: who connects is refused
            self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.bind(("127.0.0.1", self.port))

    async def gone(self) -> None:
        """Down for good."""
        await self.down()
        self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/status"

    async def _answer(self, request: web.Request) -> web.Response:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return web.Response(status=401)
        return web.json_response(self.document(), status=self.status)

    def document(self) -> dict[str, Any]:
        row = Row(Backend("EAST", "https://east"), "chat", "cooling", 6.5, "429", 0, 1, 7, 2, 0, None)
        return document(
            version="0.1.0",
            uptime=self.uptime,
            draining=False,
            policy="least-loaded",
            connections=3,
            requests=TOTALS,
            rows=[row],
            standings=STANDINGS,
            rates=Rates(dict).document(["EAST"], tokens=False),
            recent=[],
        )


class Paper(io.StringIO):
    """Wakes who waits for a text to appear."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        return super().write(text)

    @property
    def plain(self) -> str:
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.getvalue())

    async def shows(self, text: str) -> None:
        """Wait until it was written, then forget everything written so far."""
        async with asyncio.timeout(30):
            while text not in self.plain:
                self._written.clear()
                await self._written.wait()
        self.seek(0)
        self.truncate()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    found = Listener()
    await found.up()
    yield found
    await found.gone()


@contextlib.asynccontextmanager
async def watching(where: str) -> AsyncIterator[Paper]:
    """The live view."""
    paper = Paper()
    console = Console(file=paper, width=140, height=20, force_terminal=True, _environ={"TERM": "xterm-256color"})
    task = asyncio.create_task(watch(where, console, once=False, refresh=0.01))
    try:
        yield paper
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def once(where: str, key: str | None = None) -> tuple[int, str]:
    file = io.StringIO()
    code = await watch(where, Console(file=file, width=140), once=True, key=key)
    return code, file.getvalue()


async def test_once_prints_one_table_and_the_totals(listener: Listener) -> None:
    code, text = await once(listener.address)
    assert code == 0
    assert "EAST" in text
    assert "cooling   6.5 s" in text
    assert "up 1 min 40 s · least-loaded · 3 connections · 7 requests (7 relayed) · 2 429s absorbed" in text


async def test_nothing_there_is_told_with_what_to_look_for(listener: Listener) -> None:
    await listener.down()
    code, text = await once(listener.address)
    assert code == 1
    assert "LB_ADMIN_PORT" in text
    assert f"cannot connect to 127.0.0.1 port {listener.port}: connection refused" in text
    assert "ssl" not in text


async def test_a_name_that_nobody_knows_is_told() -> None:
    code, text = await once(address("no-such-host.invalid:8081"))
    assert code == 1
    assert "cannot connect to no-such-host.invalid port 8081: " in text
    assert "ssl" not in text


async def test_a_listener_that_asks_for_a_key_is_given_one(listener: Listener) -> None:
    listener.key = "s3cret"
    code, text = await once(listener.address)
    assert (code, "it asks for an operator's key (--key-file)" in text) == (1, True)
    assert "Is this the operator listener" not in text
    assert (await once(listener.address, key="s3cret"))[0] == 0


async def test_a_listener_of_something_else_is_told_so(listener: Listener) -> None:
    listener.status = 404
    code, text = await once(listener.address)
    assert code == 1
    assert "HTTP 404" in text


async def test_another_schema_is_refused() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"schema": 2})

    app = web.Application()
    app.router.add_get("/status", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="not the status of a balancer of this version"):
            await fetch(session, f"http://127.0.0.1:{runner.addresses[0][1]}/status")
    await runner.cleanup()


async def test_a_balancer_that_goes_is_waited_for_and_its_restart_is_told(listener: Listener) -> None:
    async with watching(listener.address) as paper:
        await paper.shows("cooling   6.5 s")
        await listener.down()
        await paper.shows("no answer for 0 s, trying on")
        listener.uptime = 0.5
        await listener.up()
        await paper.shows("it was started again: counts begin anew")


async def test_a_balancer_that_was_only_out_of_reach_is_back(listener: Listener) -> None:
    async with watching(listener.address) as paper:
        await paper.shows("EAST")
        listener.status = 503
        await paper.shows("trying on (it answers HTTP 503)")
        listener.status = 200
        await paper.shows("back after 0 s")


@pytest.mark.parametrize(
    "typed", ["127.0.0.1:8081", "http://127.0.0.1:8081", "http://127.0.0.1:8081/", "http://127.0.0.1:8081/status"]
)
def test_the_address_may_be_typed_in_any_form(typed: str) -> None:
    assert address(typed) == "http://127.0.0.1:8081/status"


def test_the_example_in_the_documentation_has_the_fields_of_the_real_document() -> None:
    page = (Path(__file__).parent.parent / "docs" / "status.md").read_text()
    example = json.loads(page.split("```json")[1].split("```")[0])
    real = Listener().document()
    assert example.keys() == real.keys()
    assert example["requests"].keys() == Metrics().summary().keys()
    assert example["backends"][0].keys() == real["backends"][0].keys()


async def test_a_real_balancer_is_shown() -> None:
    admin: list[str] = []

    def announced(line: str) -> str | None:
        found = listening(line)
        if found is None:
            return None
        admin.append(found[1])
        return found[0]

    told: dict[str, Any] = {"LB_HOST": "127.0.0.1", "LB_PORT": "0", "LB_ADMIN_PORT": "0", "LB_DRAIN_SECONDS": "0"}
    backend = {"BACKEND_EAST_URL": "http://127.0.0.1:9", "BACKEND_EAST_APIKEY": "key"}
    balancer = await Child.start("the balancer", ["serve"], announced, told | backend)
    try:
        await balancer.url()
        code, text = await once(address(admin[0]))
    finally:
        await balancer.stop()
    assert code == 0
    assert "BACKEND_EAST" in text
    assert "0 requests · 0 429s absorbed" in text
