"""The front that was measured and not taken: the proxied route under aiohttp's request object and task.

    python -m bench.fronts.aiohttp_front    (environment as for `lb serve`)

Everything behind the front - gateway, failover, transport, log lines - is the balancer's own, so that a run beside
`lb serve` shows what the front alone costs. docs/decisions/0001-front.md has the figures.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, cast

import uvloop
from aiohttp import web

from lb.app import App
from lb.config import read
from lb.exchange import Client, Headers, Reply, Request
from lb.parts import wall
from lb.process.listening import listen
from lb.telemetry.log import Logs

DROPPED = frozenset(
    [
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "expect",
        "api-key",
        "authorization",
    ]
)


class AiohttpClient:
    """The `Client` port on aiohttp's stream response."""

    gone = False

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.response: web.StreamResponse | None = None

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        response = web.Response(status=status, body=body)
        for name, value in headers:
            response.headers[name.decode()] = value.decode()
        self.response = response

    async def relay(self, reply: Reply, extra: Headers) -> None:
        if reply.ended:
            await self._whole(reply, extra)
            return
        response = web.StreamResponse(status=reply.status)
        self._copy(reply, extra, response)
        await response.prepare(self._request)
        assert self._request.transport is not None
        await reply.relay(_Chunks(self._request.transport.write))
        await response.write_eof()
        self.response = response

    async def _whole(self, reply: Reply, extra: Headers) -> None:
        pieces: list[bytes] = []
        await reply.relay(_Collect(pieces))
        response = web.Response(status=reply.status, body=b"".join(pieces))
        self._copy(reply, extra, response)
        self.response = response

    def _copy(self, reply: Reply, extra: Headers, response: web.StreamResponse) -> None:
        for name, value in (*reply.headers, *extra):
            text = name.decode("latin-1")
            if text.lower() not in DROPPED:
                response.headers.add(text, value.decode("latin-1"))


class _Chunks:
    """Past aiohttp's writer, whose coroutine for each piece would cost more."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def data(self, chunk: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk))


class _Collect:
    def __init__(self, pieces: list[bytes]) -> None:
        self.data = pieces.append


async def main() -> None:
    """Serve until SIGTERM."""
    loaded = read(os.environ)
    logs = Logs.open(wall, form="json", level=loaded.config.log.level)
    app = App(loaded.config, logs)
    count = 0

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal count
        count += 1
        raw = request._message.raw_headers
        headers = tuple((name, value) for name, value in raw if name.decode("latin-1").lower() not in DROPPED)
        body = await request.read()
        sent = Request(
            id=f"bench-{count}",
            method=request.method,
            target=request.raw_path.encode("latin-1"),
            headers=headers,
            body=body,
            sized="content-length" in request.headers,
            content_type=request.headers.get("content-type", "").encode(),
        )
        client = AiohttpClient(request)
        await app.gateway.handle(sent, cast(Client, client))
        assert client.response is not None
        return client.response

    sock = listen(loaded.config.listen.host, loaded.config.listen.port)
    server: Any = web.Server(serve, access_log=None, auto_decompress=False, handler_cancellation=True)
    await asyncio.get_running_loop().create_server(server, sock=sock)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await app.close()
    logs.close()


if __name__ == "__main__":
    uvloop.run(main())
