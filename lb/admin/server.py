"""The operator listener."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from lb.admin.controls import Action, Controls
from lb.admin.door import COOKIE, PATH, Door, Problem, same_origin
from lb.admin.feed import Feed
from lb.admin.pages import HEADERS, NOTHING, Document
from lb.admin.sessions import SECONDS
from lb.admin.status import SCHEMA_TEXT, Overview

Metrics = Callable[[], Awaitable[bytes]]
"""Gives the text that Prometheus reads: of this process, or of all workers together."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The format in which a counter and a histogram may share a name but for `_total`, as the sample's do; OpenMetrics
forbids it."""
ACTION_FIELD = "x-lb-action"
"""A field that no page of another origin can send without asking first, and nobody answers that question here."""
MOST_BYTES = 16 * 1024
WRITE_SECONDS = 10.0


Say = Callable[..., None]
"""Writes a log line: level, text, fields."""


class AdminServer:
    """Serves the page, `/status`, `/metrics` and `/healthz` on its own address."""

    def __init__(self, overview: Overview, metrics: Metrics, controls: Controls, door: Door, say: Say) -> None:
        self._overview = overview
        self._metrics = metrics
        self._controls = controls
        self._door = door
        self._say = say
        self._feed = Feed(overview)
        self._page, self._form = Document("page.html"), Document("login.html")
        app = web.Application(middlewares=[_guarded], client_max_size=MOST_BYTES)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/status", self._status)
        app.router.add_get("/status/schema", self._schema)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/", self._to_page)
        app.router.add_get(PATH, self._to_page)
        app.router.add_get(f"{PATH}/", self._show_page)
        app.router.add_get(f"{PATH}/me", self._me)
        app.router.add_get(f"{PATH}/events", self._events)
        app.router.add_post(f"{PATH}/actions", self._act)
        app.router.add_post(f"{PATH}/login", self._sign_in)
        app.router.add_post(f"{PATH}/logout", self._sign_out)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
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
        self._feed.close()
        await self._runner.cleanup()

    # For machines.

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _status(self, request: web.Request) -> web.Response:
        self._door.may_read(request)
        body = orjson.dumps(await self._overview(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        return web.Response(body=body, content_type="application/json")

    async def _schema(self, request: web.Request) -> web.Response:
        self._door.may_read(request)
        return web.Response(body=SCHEMA_TEXT, content_type="application/schema+json")

    async def _show_metrics(self, request: web.Request) -> web.Response:
        self._door.may_read(request)
        return web.Response(body=await self._metrics(), headers={"content-type": METRICS_TYPE})

    # For browsers.

    async def _to_page(self, request: web.Request) -> web.Response:
        raise web.HTTPSeeOther(f"{PATH}/")

    async def _show_page(self, request: web.Request) -> web.Response:
        try:
            self._door.operator(request)
        except Problem as problem:
            if problem.status != 401:
                raise
            return self._form.response(401)
        return self._page.response()

    async def _me(self, request: web.Request) -> web.Response:
        return web.json_response({"name": self._door.operator(request), "signed_in": COOKIE in request.cookies})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._door.operator(request)
        if self._feed.full:
            raise Problem(503, "Too many pages are open.")
        headers = {"content-type": "text/event-stream", "x-accel-buffering": "no"} | HEADERS
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        try:
            await response.write(b"retry: 1000\n\n")
            async for event in self._feed.follow(lambda: self._still(request)):
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(event)
        except (ConnectionError, TimeoutError):
            pass  # it has left, or does not read
        return response

    def _still(self, request: web.Request) -> bool:
        """Is it still an operator? A key may have been taken away."""
        try:
            self._door.operator(request)
        except Problem:
            return False
        return True

    async def _act(self, request: web.Request) -> web.Response:
        name = self._door.operator(request)
        if not same_origin(request) or ACTION_FIELD not in request.headers:
            raise Problem(403, f"Not from another site's page; and it takes the field `{ACTION_FIELD}`.")
        await Action.read(await request.read()).perform(self._controls, name)
        return web.json_response({"done": True})

    async def _sign_in(self, request: web.Request) -> web.Response:
        if not same_origin(request):
            raise Problem(403, "Not from another site's page.")
        found = self._door.sign_in(await _key(request))
        if found is None:
            self._say("warning", "An operator's key was refused", peer=request.remote)
            return self._form.response(401, "This is no operator's key.")
        token, name = found
        self._say("info", f"Operator `{name}` signed in", peer=request.remote)
        response = web.Response(status=303, headers={"location": f"{PATH}/"})
        secure = request.secure or request.headers.get("x-forwarded-proto", "").lower() == "https"
        response.set_cookie(
            COOKIE, token, max_age=int(SECONDS), path=PATH, httponly=True, samesite="Strict", secure=secure
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        if not same_origin(request):
            raise Problem(403, "Not from another site's page.")
        self._door.sign_out(request)
        response = web.Response(status=303, headers={"location": f"{PATH}/"})
        response.del_cookie(COOKIE, path=PATH)
        return response


async def _key(request: web.Request) -> str:
    """The form's key. Raises `Problem` for what is no form: anybody may send anything here."""
    try:
        form = await request.post()
    except (ValueError, LookupError):  # no such charset, bytes that are not in it, parts without a boundary
        raise Problem(400, "This is no form.") from None
    return str(form.get("key", "")).strip()


@web.middleware
async def _guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Problems become answers, and every answer says what a browser may not do with it."""
    try:
        response = await handler(request)
    except Problem as problem:
        response = web.json_response({"error": problem.message}, status=problem.status)
        if problem.status == 401:
            response.headers["www-authenticate"] = 'Bearer realm="lb"'
    except web.HTTPException as other:
        other.headers.update(HEADERS)
        raise
    if not response.prepared:
        response.headers.update(HEADERS)
        response.headers.setdefault("content-security-policy", NOTHING)
    return response
