"""As much of Azure Blob Storage as append blobs need, for the real SDK to talk to; it can lose answers and refuse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

ETAG = {"ETag": '"0x1"', "Last-Modified": "Sat, 21 Nov 2026 12:00:00 GMT", "x-ms-version": "2021-08-06"}


class BlobService:
    """`blobs` by name. The next `lose` appends are done and answered with 500; the next `refuse` are not done."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.lose = 0
        self.refuse = 0
        self.full = False
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/account/audit/")
        if request.method == "HEAD":
            length = {"Content-Length": str(len(self.blobs[name])), "x-ms-blob-type": "AppendBlob"}
            return web.Response(headers={**ETAG, **length})
        if request.query.get("comp") == "appendblock":
            return self._append(name, await request.read(), int(request.headers["x-ms-blob-condition-appendpos"]))
        if name in self.blobs and request.headers.get("If-None-Match") == "*":
            return _refusal(409, "BlobAlreadyExists")
        assert request.headers["x-ms-blob-type"] == "AppendBlob"
        self.blobs[name] = b""
        return web.Response(status=201, headers=ETAG)

    def _append(self, name: str, block: bytes, place: int) -> web.Response:
        if self.refuse:
            self.refuse -= 1
            return _refusal(500, "InternalError")
        if self.full:
            self.full = False
            return _refusal(409, "BlockCountExceedsLimit")
        if name not in self.blobs:
            return _refusal(404, "BlobNotFound")
        if place != len(self.blobs[name]):
            return _refusal(412, "AppendPositionConditionNotMet")
        self.blobs[name] += block
        if self.lose:
            self.lose -= 1
            return _refusal(500, "InternalError")
        return web.Response(status=201, headers=ETAG)


def _refusal(status: int, code: str) -> web.Response:
    text = f"<?xml version='1.0' encoding='utf-8'?><Error><Code>{code}</Code><Message>No.</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml", headers={"x-ms-error-code": code})


@asynccontextmanager
async def running() -> AsyncIterator[BlobService]:
    service = BlobService()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    async with TestServer(app) as server:
        service.url = str(server.make_url("/account/audit"))
        yield service
