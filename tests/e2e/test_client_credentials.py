"""Callers are known by their keys, strangers get 401, and no credential of a client ever reaches a backend."""

import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from balancer import Balancer, hasty
from raw import OK, RawBackend, exchange, post

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = b"/openai/deployments/chat/chat/completions?api-version=2024-10-21"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[RawBackend]:
    async with RawBackend() as backend:
        yield backend


SECRET = b"clients-own-secret"
ROUTES = {
    "api-key": post(CHAT, b"api-key: " + SECRET, b"Content-Length: 2"),
    "bearer": post(CHAT, b"Authorization: Bearer " + SECRET, b"Content-Length: 2"),
    "lower-case bearer": post(CHAT, b"authorization: bearer " + SECRET, b"Content-Length: 2"),
    "both": post(CHAT, b"Api-Key: " + SECRET, b"AUTHORIZATION: Bearer " + SECRET, b"Content-Length: 2"),
    "query": post(CHAT + b"&api-key=" + SECRET, b"Content-Length: 2"),
    "query, escaped": post(CHAT + b"&API%2Dkey=" + SECRET + b"&x=1", b"Content-Length: 2"),
    "query, first": post(CHAT.replace(b"?", b"?api-key=" + SECRET + b"&"), b"Content-Length: 2"),
    "query and header": post(CHAT + b"&api-key=" + SECRET, b"api-key: " + SECRET, b"Content-Length: 2"),
}
BESIDE = {
    "twice": (b"api-key: " + SECRET, b"api-key: other-secret"),
    "basic": (b"api-key: " + SECRET, b"Authorization: Basic b3RoZXItc2VjcmV0"),
    "proxy": (b"api-key: " + SECRET, b"Proxy-Authorization: Bearer other-secret"),
    "gateways": (b"api-key: " + SECRET, b"x-api-key: other-secret", b"Ocp-Apim-Subscription-Key: other-secret"),
    "websocket": (b"api-key: " + SECRET, b"Sec-WebSocket-Protocol: openai-insecure-api-key.other-secret"),
    "platform": (b"api-key: " + SECRET, b"X-MS-TOKEN-AAD-ID-TOKEN: other-secret", b"X-Forwarded-X: other-secret"),
    "named by Connection": (b"api-key: " + SECRET, b"Connection: api-key, close"),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["open", "closed"])
async def either(request: pytest.FixtureRequest, backend: RawBackend) -> AsyncIterator[Balancer]:
    """A balancer that asks nobody, and one that knows this secret by its hash."""
    settings = {"BACKEND_1_URL": backend.url, "BACKEND_1_APIKEY": "key-of-1"}
    if request.param == "closed":
        settings["LB_CLIENT_KEYS"] = f"other:something-else, us:sha256:{hashlib.sha256(SECRET).hexdigest()}"
    async with hasty(**settings) as balancer:
        yield balancer


@pytest.mark.parametrize("name", [*ROUTES, *BESIDE])
async def test_a_clients_credential_never_reaches_a_backend(name: str, backend: RawBackend, either: Balancer) -> None:
    backend.answers(OK)
    head = ROUTES[name] if name in ROUTES else post(CHAT, *BESIDE[name], b"Content-Length: 2")
    assert (await exchange(either.url, head, b"{}")).status == 200
    (received,) = backend.received
    for secret in (SECRET, b"other-secret", b"b3RoZXItc2VjcmV0"):
        assert secret not in received.raw
    assert received.all(b"api-key") == [b"key-of-1"]
    assert b"api-version=2024-10-21" in received.first
    assert not any(SECRET.decode() in str(line) for line in either.lines)


STRANGERS = {
    "nothing": (),
    "a wrong key": (b"api-key: wrong",),
    "a wrong bearer": (b"Authorization: Bearer wrong",),
    "an empty key": (b"api-key:",),
    "another's key in part": (b"api-key: " + SECRET[:-1],),
    "the hash itself": (b"api-key: " + hashlib.sha256(SECRET).hexdigest().encode(),),
    "basic": (b"Authorization: Basic " + SECRET,),
    "the backend's own key": (b"api-key: key-of-1",),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def closed(backend: RawBackend) -> AsyncIterator[Balancer]:
    keys = f"us:sha256:{hashlib.sha256(SECRET).hexdigest()}"
    async with hasty(BACKEND_1_URL=backend.url, BACKEND_1_APIKEY="key-of-1", LB_CLIENT_KEYS=keys) as balancer:
        yield balancer


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_stranger_gets_401_before_his_body_is_read(name: str, backend: RawBackend, closed: Balancer) -> None:
    backend.answers(OK)
    closed.lines.clear()
    head = post(CHAT, *STRANGERS[name], b"Content-Length: 2", b"Expect: 100-continue")
    refused = await exchange(closed.url, head, b"{}")
    assert (refused.status, refused.interim) == (401, [])
    assert b'"code":"401"' in refused.body.replace(b" ", b"")
    assert not backend.received
    line = await closed.line(lambda line: line["event"] == "Refused a request")
    assert line["status"] == 401
    assert "wrong" not in str(line)
