"""Real endpoints on loopback for probes: plain or with TLS, and a proxy before them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class Endpoint:
    """An Azure OpenAI endpoint as far as a probe can see: one key, some deployments."""

    def __init__(self, key: str = "k", deployments: tuple[str, ...] = ("chat",), status: int = 0) -> None:
        self.key, self.deployments, self.status = key, deployments, status
        self.seen: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path))
        self.bodies.append(await request.read())
        shown = request.headers.get("api-key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.status:
            return web.json_response({"error": {"code": str(self.status), "message": "as told"}}, status=self.status)
        if shown != self.key:
            return web.json_response({"error": {"code": "401", "message": f"Incorrect key {shown}."}}, status=401)
        if request.path == "/openai/models":
            return web.json_response({"data": []})
        if request.path.split("/")[3] in self.deployments:
            return web.json_response({"error": {"code": "400", "message": "[] is too short"}}, status=400)
        missing = {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}
        return web.json_response({"error": missing}, status=404)

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator["Endpoint"]:
        runner = web.ServerRunner(web.Server(self))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"{'https' if context else 'http'}://localhost:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()


class Tunnels:
    """A proxy that knows CONNECT only."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self, target: int) -> AsyncIterator["Tunnels"]:
        self._target = target
        async with (
            asyncio.TaskGroup() as self._tasks,
            await asyncio.start_server(self._serve, "127.0.0.1", 0) as server,
        ):
            self.port = server.sockets[0].getsockname()[1]
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self._tasks.create_task(_pour(reader, there_writer))
        self._tasks.create_task(_pour(there_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
    except OSError:
        pass
    finally:
        writer.close()
