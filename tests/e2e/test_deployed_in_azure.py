"""`lb serve` with the very variables that `azd up` gives it, and stand-ins of what Azure has around it: the identity
endpoint of Container Apps, the tenant's published keys, three endpoints that take Entra tokens only."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import openai
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from balancer import Balancer
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from lb.sim import Settings, Simulator

SETTINGS = yaml.safe_load((Path(__file__).parents[2] / "infra" / "settings.yaml").read_text())
TENANT = "11111111-2222-4333-8444-555555555555"
CHAT_APP = "aaaaaaaa-0000-4000-8000-000000000001"
DEPLOYER = "bbbbbbbb-0000-4000-8000-000000000002"
STRANGER = "cccccccc-0000-4000-8000-000000000003"
CLIENT_ID = "dddddddd-0000-4000-8000-000000000004"
LENT = "the-token-of-the-managed-identity"


@dataclass
class Azure:
    """The identity endpoint and the tenant's keys."""

    key: RSAPrivateKey = field(default_factory=lambda: generate_private_key(65537, 2048))
    identity_works: bool = True
    asked: list[dict[str, str]] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/msi/token", self.token)
        app.router.add_get(f"/{TENANT}/discovery/v2.0/keys", self.keys)
        return app

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query) | {"secret": request.headers.get("X-IDENTITY-HEADER", "")})
        if not self.identity_works:
            return web.Response(status=500, text="not now")
        told = {"resource": request.query["resource"], "client_id": CLIENT_ID, "token_type": "Bearer"}
        return web.json_response({"access_token": LENT, "expires_on": str(int(time.time()) + 3600), **told})

    async def keys(self, _: web.Request) -> web.Response:
        key = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        return web.json_response({"keys": [{**key, "kid": "first", "use": "sig"}]})

    def token_of(self, caller: str) -> str:
        """As a chat app gets it: version 1.0, for Cognitive Services."""
        now = int(time.time())
        claims = {
            "iss": f"https://sts.windows.net/{TENANT}/",
            "aud": "https://cognitiveservices.azure.com",
            "tid": TENANT,
            "oid": caller,
            "nbf": now - 60,
            "exp": now + 600,
            "ver": "1.0",
        }
        return jwt.encode(claims, self.key, "RS256", headers={"kid": "first"})


@dataclass
class Deployment:
    azure: Azure
    balancer: Balancer
    endpoints: list[Simulator]

    async def chat(self, caller: str) -> str:
        """As azure-search-openai-demo asks: the plain client, base URL `.../openai/v1`, a token provider for a key."""

        async def token() -> str:
            return self.azure.token_of(caller)

        base = f"{self.balancer.url}/openai/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key=token, max_retries=0) as client:
            reply = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}])
            return reply.choices[0].message.content or ""

    def received(self) -> list[bytes | None]:
        return [one.get(b"authorization") for endpoint in self.endpoints for one in endpoint.received]


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    azure = Azure()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TestServer(azure.app()))
        endpoints = [Simulator(Settings(name=f"openai{number}", keys=(LENT,))) for number in (1, 2, 3)]
        for endpoint in endpoints:
            await stack.enter_async_context(endpoint)
        platform = {
            "IDENTITY_ENDPOINT": str(server.make_url("/msi/token")),
            "IDENTITY_HEADER": "platform-secret",
            "AZURE_CLIENT_ID": CLIENT_ID,
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "LB_ENTRA_TENANT_ID": TENANT,
            "LB_ENTRA_ALLOWED": f"deployer:{DEPLOYER},chat:{CHAT_APP}",
            **{f"BACKEND_{number}_URL": endpoint.url for number, endpoint in enumerate(endpoints, 1)},
        }
        local = {
            "LB_PORT": "0",
            "LB_ADMIN_PORT": "0",
            "LB_ENTRA_AUTHORITY": str(server.make_url("/")),
            "LB_ENTRA_ISSUERS": f"https://sts.windows.net/{TENANT}/",
        }
        balancer = await stack.enter_async_context(Balancer(**{**SETTINGS["env"], **platform, **local}))
        yield Deployment(azure, balancer, endpoints)


async def test_the_chat_apps_token_lets_it_in_and_only_the_identitys_token_goes_on(deployment: Deployment) -> None:
    assert await deployment.chat(CHAT_APP)
    assert await deployment.chat(DEPLOYER)
    assert deployment.received() == [b"Bearer " + LENT.encode()] * 2
    asked = deployment.azure.asked[0]
    assert asked["client_id"] == CLIENT_ID
    assert asked["resource"] == "https://cognitiveservices.azure.com"
    assert asked["secret"] == "platform-secret"


async def test_someone_else_of_the_tenant_stays_outside(deployment: Deployment) -> None:
    with pytest.raises((openai.PermissionDeniedError, openai.AuthenticationError)):
        await deployment.chat(STRANGER)
    assert deployment.received() == []


async def test_no_credential_at_all_stays_outside(deployment: Deployment) -> None:
    client = openai.AsyncOpenAI(base_url=f"{deployment.balancer.url}/openai/v1", api_key="guess", max_retries=0)
    async with client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}])
    assert deployment.received() == []


async def test_an_identity_that_fails_is_our_fault_and_not_the_callers_and_heals(deployment: Deployment) -> None:
    deployment.azure.identity_works = False
    with pytest.raises(openai.InternalServerError) as failed:
        await deployment.chat(CHAT_APP)
    assert failed.value.status_code in (502, 503, 504)
    assert deployment.received() == []
    deployment.azure.identity_works = True
    async with asyncio.timeout(60):
        while not await _works(deployment):  # noqa: ASYNC110 - a pause heals it, and nothing tells its end
            await asyncio.sleep(0.2)
    assert set(deployment.received()) == {b"Bearer " + LENT.encode()}


async def _works(deployment: Deployment) -> bool:
    try:
        return bool(await deployment.chat(CHAT_APP))
    except openai.InternalServerError:
        return False


async def test_no_token_is_written_to_the_log(deployment: Deployment) -> None:
    await deployment.chat(CHAT_APP)
    await deployment.balancer.line(lambda line: line["event"].startswith("Received response 200"))
    written = json.dumps(deployment.balancer.lines)
    assert LENT not in written
    assert deployment.azure.token_of(CHAT_APP).split(".")[2] not in written
    assert "platform-secret" not in written
