"""The operator listener."""

import socket
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from lb.admin.status import Overview

Metrics = Callable[[], Awaitable[bytes]]
"""Gives the text that Prometheus reads: of this process, or of all workers together."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The format in which a counter and a histogram may share a name but for `_total`, as the sample's do; OpenMetrics
forbids it."""


class AdminServer:
    """Serves `/status`, `/metrics` and `/healthz` on its own address."""

    def __init__(self, overview: Overview, metrics: Metrics | None = None) -> None:
        self._overview = overview
        self._metrics = metrics
        app = web.Application()
        app.router.add_get("/status", self._status)
        app.router.add_get("/healthz", self._healthz)
        if metrics is not None:
            app.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the address is taken."""
        await self._runner.setup()
        await self._listen(web.TCPSite(self._runner, host, port))

    async def start_on(self, sock: socket.socket) -> None:
        """Listen on a bound socket."""
        await self._runner.setup()
        await self._listen(web.SockSite(self._runner, sock))

    async def _listen(self, site: web.BaseSite) -> None:
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _status(self, request: web.Request) -> web.Response:
        body = orjson.dumps(await self._overview(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        return web.Response(body=body, content_type="application/json", headers={"cache-control": "no-store"})

    async def _show_metrics(self, request: web.Request) -> web.Response:
        assert self._metrics is not None  # noqa: S101 - else there is no such route
        return web.Response(body=await self._metrics(), headers={"content-type": METRICS_TYPE})

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")
