"""azure-identity, unmodified, against a stand-in of the identity endpoint that Container Apps offers to an app."""

import asyncio
import importlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed
from lb.wire.credentials import Credentials, default_azure

KEYLESS = Backend("BACKEND_1", "https://one")


@dataclass
class IdentityEndpoint:
    """GET with `resource`, `client_id`, `api-version` and the secret header, as the platform documents it."""

    mode: str = "fine"
    lasts: int = 3600
    requests: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(dict(request.query) | {"secret": request.headers.get("X-IDENTITY-HEADER", "")})
        if self.mode == "hanging":
            await asyncio.Event().wait()
        if self.mode != "fine":
            return {
                "failing": web.Response(status=500, text="boom"),
                "garbage": web.Response(text="<html>hello</html>"),
                "half": web.json_response({"access_token": "do-not-tell"}),
                "stranger": web.json_response(
                    {"error": {"code": "invalid_request", "message": "Identity not found"}}, status=400
                ),
            }[self.mode]
        return web.json_response(
            {
                "access_token": f"token-{len(self.requests)}",
                "expires_on": str(int(time.time()) + self.lasts),
                "resource": request.query["resource"],
                "token_type": "Bearer",
                "client_id": "client",
            }
        )


@dataclass
class Scene:
    endpoint: IdentityEndpoint
    credentials: Credentials
    now: float = 0.0


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    importlib.import_module("azure.identity.aio")  # takes a while once, and not at the cost of the short wait below
    endpoint = IdentityEndpoint()
    app = web.Application()
    app.router.add_get("/msi/token", endpoint.answer)
    async with TestServer(app) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", str(server.make_url("/msi/token")))
        monkeypatch.setenv("IDENTITY_HEADER", "platform-secret")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        scene = Scene(endpoint, None)  # type: ignore[arg-type]
        scene.credentials = Credentials(time.time, lambda: scene.now, default_azure("client"), wait=1.0)
        yield scene
        await scene.credentials.close()


async def test_the_user_assigned_identity_is_asked_for_by_its_client_id(scene: Scene) -> None:
    assert await scene.credentials.fetch(KEYLESS) == b"Authorization: Bearer token-1\r\n"
    assert scene.endpoint.requests == [
        {
            "api-version": "2019-08-01",
            "resource": "https://cognitiveservices.azure.com",
            "client_id": "client",
            "secret": "platform-secret",
        }
    ]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("failing", "none came within 1 s"),
        ("hanging", "none came within 1 s"),
        ("garbage", "something that is no token"),
        ("half", "something that is no token"),
        ("stranger", "is AZURE_CLIENT_ID that of an identity"),
    ],
)
async def test_an_endpoint_in_trouble_fails_the_request_soon_and_recovers(scene: Scene, mode: str, said: str) -> None:
    scene.endpoint.mode = mode
    began = time.monotonic()
    failures = await asyncio.gather(*[scene.credentials.fetch(KEYLESS) for _ in range(20)], return_exceptions=True)
    assert time.monotonic() - began < 15
    assert all(isinstance(failure, BackendFailed) and said in failure.detail for failure in failures)
    assert not any("do-not-tell" in str(failure) or "platform-secret" in str(failure) for failure in failures)
    asked = len(scene.endpoint.requests)
    with pytest.raises(BackendFailed, match="no Microsoft Entra token"):
        await scene.credentials.fetch(KEYLESS)
    assert len(scene.endpoint.requests) == asked
    scene.endpoint.mode = "fine"
    scene.now += 1.0
    assert (await scene.credentials.fetch(KEYLESS)).startswith(b"Authorization: Bearer token-")


async def test_a_token_at_its_end_is_replaced_although_the_endpoint_failed_in_between(scene: Scene) -> None:
    scene.endpoint.lasts = 2
    first = await scene.credentials.fetch(KEYLESS)
    scene.endpoint.mode = "garbage"
    while scene.credentials.ready(KEYLESS) is not None:
        await asyncio.sleep(0.02)  # the end of a real token in real time is what is awaited
        scene.now += 0.02
    scene.now += 60
    with pytest.raises(BackendFailed):
        await scene.credentials.fetch(KEYLESS)
    scene.endpoint.mode, scene.endpoint.lasts = "fine", 3600
    scene.now += 60
    second = await scene.credentials.fetch(KEYLESS)
    assert second.startswith(b"Authorization: Bearer token-")
    assert second != first


def test_azure_identity_is_not_even_imported_while_every_backend_has_a_key() -> None:
    body = (
        "import sys\n"
        "from lb.balancing.backend import Backend\n"
        "from lb.wire.credentials import Credentials, default_azure\n"
        "credentials = Credentials(lambda: 0.0, lambda: 0.0, default_azure(None))\n"
        "assert credentials.ready(Backend('A', 'https://a', api_key='k')) == b'api-key: k\\r\\n'\n"
        "assert not [name for name in sys.modules if name.startswith(('azure', 'msal'))]\n"
    )
    subprocess.run([sys.executable, "-c", body], check=True, timeout=60)  # noqa: S603
