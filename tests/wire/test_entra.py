"""A local issuer with real RSA keys, and every way in which a token can be wrong."""

import asyncio
import base64
import hashlib
import hmac
import inspect
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jwt
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from lb.config.clients import EntraSettings
from lb.refusal import Refusal
from lb.wire.callers import Callers
from lb.wire.entra import KEEP, LARGEST

TENANT = "11111111-2222-3333-4444-555555555555"
APP = "aaaaaaaa-0000-0000-0000-000000000001"
PERSON = "bbbbbbbb-0000-0000-0000-000000000002"
V1 = f"https://sts.windows.net/{TENANT}/"
V2 = f"https://login.microsoftonline.com/{TENANT}/v2.0"
AUDIENCE = "https://cognitiveservices.azure.com"
NOW = 1_795_256_000

FIRST, SECOND, FOREIGN = (generate_private_key(65537, 2048) for _ in range(3))
WEAK = generate_private_key(65537, 1024)  # noqa: S505 - to see it passed over


def published(kid: str, key: RSAPrivateKey, **more: object) -> dict[str, object]:
    return json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig", "key_ops": ["verify"]} | more


@dataclass
class FakeHead:
    """The part of a head that says who calls."""

    api_key: bytes | None = None
    bearer: bytes | None = None
    query_key: bytes | None = None
    protocol_key: bytes | None = None
    method: str = "POST"
    target: bytes = b"/"
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    peer: str = "192.0.2.1"
    known: tuple[object, str] | None = None


@dataclass
class Issuer:
    keys: list[dict[str, object]] = field(default_factory=lambda: [published("first", FIRST)])
    mode: str = "fine"
    requests: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def discovery(self, request: web.Request) -> web.Response:
        return web.json_response({"issuer": V2, "jwks_uri": str(request.url.origin()) + "/keys"})

    async def answer(self, _: web.Request) -> web.Response:
        self.requests += 1
        await self.may_answer.wait()
        if self.mode == "fine":
            return web.json_response({"keys": self.keys})
        return {
            "failing": web.Response(status=500, text="boom"),
            "moved": web.Response(status=302, headers={"Location": "/elsewhere"}),
            "garbage": web.Response(text="<html>"),
            "list": web.json_response([1]),
            "empty": web.json_response({"keys": []}),
            "huge": web.Response(body=b" " * (2 << 20)),
        }[self.mode]


@dataclass
class Scene:
    issuer: Issuer
    callers: Callers
    wall: float = NOW
    clock: float = 0.0

    async def identify(self, token: str | bytes, **more: Any) -> str | Refusal | None:
        found = self.callers.identify(FakeHead(bearer=token if isinstance(token, bytes) else token.encode(), **more))
        return await found if inspect.isawaitable(found) else found

    def at_once(self, token: str) -> str | Refusal | None:
        found = self.callers.identify(FakeHead(bearer=token.encode()))
        assert not inspect.isawaitable(found)
        return found


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    issuer = Issuer()
    issuer.may_answer.set()
    app = web.Application()
    app.router.add_get("/keys", issuer.answer)
    app.router.add_get("/discovery", issuer.discovery)
    async with TestServer(app) as server:
        rules = settings(str(server.make_url("/keys")))
        scene = Scene(issuer, None)  # type: ignore[arg-type]
        scene.callers = Callers({}, rules, lambda: scene.wall, lambda: scene.clock)
        yield scene
        await scene.callers.close()


def settings(keys_url: str) -> EntraSettings:
    return EntraSettings(
        tenant=TENANT,
        audiences=(AUDIENCE, "api://lb"),
        issuers=(V2, V1),
        keys_url=keys_url,
        allowed={APP: "chat-app", PERSON: "anna"},
    )


def claims(**changes: object) -> dict[str, object]:
    found = {
        "aud": AUDIENCE,
        "iss": V1,
        "tid": TENANT,
        "iat": NOW - 10,
        "nbf": NOW - 10,
        "exp": NOW + 3600,
        "appid": APP,
        "oid": "cccccccc-0000-0000-0000-000000000003",
        "ver": "1.0",
    }
    return {name: value for name, value in (found | changes).items() if value is not None}


def signed(key: RSAPrivateKey = FIRST, kid: str | None = "first", algorithm: str = "RS256", **changes: object) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={} if kid is None else {"kid": kid})


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(header: object, payload: object, signature: bytes = b"") -> str:
    return f"{part(header)}.{part(payload)}.{part(signature)}"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "chat-app"),
        ({"iss": V2, "appid": None, "azp": APP, "ver": "2.0"}, "chat-app"),
        ({"aud": AUDIENCE + "/"}, "chat-app"),
        ({"aud": "api://lb"}, "chat-app"),
        ({"aud": ["other", AUDIENCE]}, "chat-app"),
        ({"oid": PERSON}, "anna"),
        ({"oid": PERSON.upper(), "appid": "dddddddd-0000-0000-0000-000000000004"}, "anna"),
        ({"oid": None}, "chat-app"),
        ({"tid": TENANT.upper()}, "chat-app"),
        ({"nbf": None, "iat": None}, "chat-app"),
        ({"exp": NOW - 59}, "chat-app"),
        ({"nbf": NOW + 59}, "chat-app"),
    ],
)
async def test_a_good_token_of_either_version_has_its_name(scene: Scene, changes: dict[str, object], name: str) -> None:
    assert await scene.identify(signed(**changes)) == name


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (signed(exp=NOW - 61), "has expired"),
        (signed(exp=None), "has expired"),
        (signed(exp=True), "has expired"),
        (unsigned({"alg": "RS256", "kid": "first"}, claims(exp="soon")), "has expired"),
        (unsigned({"alg": "RS256", "kid": "first"}, claims(exp=float("nan"))), "has expired"),
        (signed(nbf=NOW + 61), "not valid yet"),
        (unsigned({"alg": "RS256", "kid": "first"}, claims(nbf="then")), "not valid yet"),
        (signed(aud="https://graph.microsoft.com"), "something else"),
        (signed(aud=None), "something else"),
        (signed(aud={"a": 1}), "something else"),
        (signed(aud=AUDIENCE + ".evil.example"), "something else"),
        (signed(iss="https://sts.windows.net/00000000-0000-0000-0000-000000000000/"), "somebody else"),
        (signed(iss=V1.rstrip("/")), "somebody else"),
        (signed(iss=None), "somebody else"),
        (unsigned({"alg": "RS256", "kid": "first"}, claims(iss=[V1])), "somebody else"),
        (signed(tid="00000000-0000-0000-0000-000000000000"), "somebody else"),
        (signed(tid=None), "somebody else"),
        (signed(kid="unknown"), "does not publish"),
        (signed(kid=None), "RS256 by a named key"),
        (unsigned({"alg": "RS256", "kid": ["first"]}, claims()), "not well formed"),
        (signed(FOREIGN), "wrong signature"),
        (signed(algorithm="RS384"), "RS256"),
        (signed(algorithm="PS256"), "RS256"),
        (unsigned({"alg": "none", "kid": "first"}, claims()), "RS256"),
        (unsigned({"alg": "None", "kid": "first"}, claims()), "RS256"),
        (unsigned({"kid": "first"}, claims()), "RS256"),
        (unsigned({"alg": "RS256", "kid": "first"}, claims()), "wrong signature"),
        (unsigned({"alg": "RS256", "kid": "first", "crit": ["b64"], "b64": False}, claims(), b"x"), "not well formed"),
        (unsigned([1], claims()), "not well formed"),
        (unsigned({"alg": "RS256", "kid": "first"}, [1]), "not well formed"),
        (unsigned({"alg": "RS256", "kid": "first"}, b"\xff\xfe"), "not well formed"),
        (unsigned({"alg": "RS256", "kid": "first"}, b"[" * 5000), "not well formed"),
        ("..", "not well formed"),
        ("a.b.c", "not well formed"),
        ("é.é.é", "not well formed"),
        (signed() + "A", "wrong signature"),
        (signed(padding="x" * LARGEST), "larger than"),
    ],
)
async def test_a_bad_token_is_refused_with_its_reason(scene: Scene, token: str, said: str) -> None:
    refusal = await scene.identify(token)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 401
    assert refusal.headers == ((b"WWW-Authenticate", b"Bearer"),)
    error = orjson.loads(refusal.body)["error"]
    assert error["code"] == "401"
    assert said in error["message"]
    assert f"{AUDIENCE}/.default" in error["message"]


async def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_refused(scene: Scene) -> None:
    public = FIRST.public_key()
    forms = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(published("first", FIRST)).encode(),
    ]
    for secret in forms:
        for algorithm in ("HS256", "RS256"):
            text = f"{part({'alg': algorithm, 'kid': 'first'})}.{part(claims())}"
            forged = f"{text}.{part(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"
            assert getattr(await scene.identify(forged), "status", None) == 401


async def test_a_key_that_comes_inside_the_token_is_not_used(scene: Scene) -> None:
    own = json.loads(RSAAlgorithm.to_jwk(FOREIGN.public_key()))
    headers = {"kid": "first", "jwk": own, "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/x"}
    forged = jwt.encode(claims(), FOREIGN, "RS256", headers=headers)
    assert getattr(await scene.identify(forged), "status", None) == 401


async def test_a_changed_payload_no_longer_fits_its_signature(scene: Scene) -> None:
    head, _, signature = signed(oid="eeeeeeee-0000-0000-0000-000000000005", appid=None).split(".")
    forged = f"{head}.{part(claims(oid=PERSON))}.{signature}"
    refusal = await scene.identify(forged)
    assert isinstance(refusal, Refusal)
    assert "wrong signature" in refusal.message


async def test_who_is_in_the_tenant_but_not_on_the_list_gets_403_and_only_with_a_real_signature(scene: Scene) -> None:
    stranger = {"appid": "dddddddd-0000-0000-0000-000000000004"}
    for changes in (stranger, {"appid": None}, {"appid": None, "oid": None}, {"appid": [APP]}):
        refusal = await scene.identify(signed(**changes))
        assert isinstance(refusal, Refusal)
        assert refusal.status == 403
        assert orjson.loads(refusal.body)["error"]["code"] == "403"
        assert "allow-list" in refusal.message
        assert getattr(await scene.identify(signed(FOREIGN, **changes)), "status", None) == 401


async def test_a_verified_token_is_known_again_until_it_expires(scene: Scene) -> None:
    token = signed()
    assert inspect.isawaitable(found := scene.callers.identify(FakeHead(bearer=token.encode())))
    assert await found == "chat-app"
    for _ in range(3):
        assert scene.at_once(token) == "chat-app"
    scene.wall = NOW + 3600 + 59
    assert scene.at_once(token) == "chat-app"
    scene.wall = NOW + 3600 + 61
    assert "has expired" in scene.at_once(token).message  # type: ignore[union-attr]
    assert scene.issuer.requests == 1


async def test_verified_tokens_take_bounded_room_and_the_latest_stay(scene: Scene) -> None:
    first = signed()
    await scene.identify(first)
    tokens = scene.callers._tokens
    assert tokens is not None
    for number in range(KEEP):
        tokens._known[b"%d" % number] = "x", 0.0
        assert scene.at_once(first) == "chat-app"
    await scene.identify(signed(jti="another"))
    assert len(tokens._known) <= KEEP + 1
    assert b"0" not in tokens._known


async def test_keys_are_found_by_way_of_the_discovery_document(scene: Scene) -> None:
    rules = scene.callers._rules
    assert rules is not None
    scene.callers.replace({}, settings(rules.keys_url.replace("/keys", "/discovery")))
    assert await scene.identify(signed()) == "chat-app"


async def test_a_hundred_callers_have_the_keys_fetched_once(scene: Scene) -> None:
    scene.issuer.may_answer.clear()
    waiting = [asyncio.ensure_future(scene.identify(signed(jti=str(number)))) for number in range(100)]
    leaving = waiting.pop()
    await asyncio.wait(waiting, timeout=0.05)
    leaving.cancel()
    scene.issuer.may_answer.set()
    assert set(await asyncio.gather(*waiting)) == {"chat-app"}
    assert scene.issuer.requests == 1


async def test_a_new_key_is_fetched_when_the_first_token_names_it(scene: Scene) -> None:
    assert await scene.identify(signed()) == "chat-app"
    scene.issuer.keys.append(published("second", SECOND))
    scene.clock += 31
    assert await scene.identify(signed(SECOND, "second")) == "chat-app"
    assert scene.issuer.requests == 2


async def test_made_up_key_ids_cannot_have_the_keys_fetched_in_a_loop(scene: Scene) -> None:
    for number in range(50):
        refusal = await scene.identify(signed(FOREIGN, f"made-up-{number}"))
        assert "does not publish" in refusal.message  # type: ignore[union-attr]
    assert scene.issuer.requests == 1
    scene.clock += 31
    await scene.identify(signed(FOREIGN, "made-up"))
    assert scene.issuer.requests == 2


async def test_a_token_that_is_none_of_ours_by_its_own_words_has_nothing_fetched(scene: Scene) -> None:
    for token in (signed(aud="x"), signed(iss="x"), signed(exp=1), signed(tid="x"), "a.b.c", signed(kid=None)):
        assert getattr(await scene.identify(token), "status", None) == 401
    assert scene.issuer.requests == 0


async def test_a_withdrawn_key_takes_its_verified_tokens_along(scene: Scene) -> None:
    token = signed()
    assert await scene.identify(token) == "chat-app"
    scene.issuer.keys = [published("second", SECOND)]
    scene.clock += 31
    assert await scene.identify(signed(SECOND, "second")) == "chat-app"
    assert "does not publish" in (await scene.identify(token)).message  # type: ignore[union-attr]


async def test_a_key_replaced_under_its_id_takes_its_verified_tokens_along(scene: Scene) -> None:
    token = signed()
    assert await scene.identify(token) == "chat-app"
    scene.issuer.keys = [published("first", SECOND)]
    scene.clock += 31
    await scene.identify(signed(FOREIGN, "unknown"))
    assert "wrong signature" in (await scene.identify(token)).message  # type: ignore[union-attr]


async def test_old_keys_are_fetched_again_behind_the_requests(scene: Scene) -> None:
    assert await scene.identify(signed()) == "chat-app"
    scene.clock += 3601
    assert scene.at_once(signed(jti="2")) == "chat-app"
    await asyncio.gather(*[task for task in asyncio.all_tasks() if task.get_name() == "signing keys"])
    assert scene.issuer.requests == 2


@pytest.mark.parametrize("mode", ["failing", "moved", "garbage", "list", "empty", "huge"])
async def test_without_keys_a_token_cannot_be_judged_and_with_known_keys_it_still_can(scene: Scene, mode: str) -> None:
    scene.issuer.mode = mode
    for _ in range(5):
        refusal = await scene.identify(signed())
        assert isinstance(refusal, Refusal)
        assert refusal.status == 503
        assert dict(refusal.headers) == {b"Retry-After": b"5"}
    assert scene.issuer.requests == 1, "asked once, then left in peace"
    scene.issuer.mode = "fine"
    scene.clock += 5
    assert await scene.identify(signed()) == "chat-app"
    scene.issuer.mode = mode
    scene.clock += 31
    assert getattr(await scene.identify(signed(SECOND, "second")), "status", None) == 503
    assert await scene.identify(signed(jti="new")) == "chat-app"
    scene.clock += 7200
    assert await scene.identify(signed(jti="newer")) == "chat-app"


async def test_an_issuer_that_cannot_be_reached_is_the_same(scene: Scene) -> None:
    scene.callers.replace({}, settings("http://127.0.0.1:1/keys"))
    assert getattr(await scene.identify(signed()), "status", None) == 503


async def test_keys_that_are_not_for_rs256_are_passed_over(scene: Scene) -> None:
    odd: list[Any] = [
        "text",
        {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "halves"},
        published("encrypt", SECOND, use="enc"),
        published("weak", WEAK),
        {**published("x", SECOND), "kid": 5},
    ]
    scene.issuer.keys = [*odd, *scene.issuer.keys]
    assert await scene.identify(signed()) == "chat-app"
    assert getattr(await scene.identify(signed(SECOND, "encrypt")), "status", None) == 401


async def test_keys_and_tokens_work_side_by_side(scene: Scene) -> None:
    scene.callers.replace({hashlib.sha256(b"k1").digest(): "bert"}, scene.callers._rules)
    assert await scene.identify(b"k1") == "bert"
    assert await scene.identify(signed()) == "chat-app"
    assert await scene.identify(signed(), api_key=b"made-up") == "chat-app"
    refusal = await scene.identify(b"k2")
    assert isinstance(refusal, Refusal)
    assert "client key" in refusal.message
    assert "Entra token" in refusal.message


async def test_a_reload_of_the_same_rules_keeps_keys_and_tokens(scene: Scene) -> None:
    token = signed()
    await scene.identify(token)
    rules = scene.callers._rules
    assert rules is not None
    scene.callers.replace({}, settings(rules.keys_url))
    assert scene.at_once(token) == "chat-app"


async def test_who_is_taken_off_the_list_is_out_at_once_even_while_the_issuer_is_down(scene: Scene) -> None:
    token = signed()
    assert await scene.identify(token) == "chat-app"
    scene.issuer.mode = "failing"
    rules = scene.callers._rules
    assert rules is not None
    shorter = replace(settings(rules.keys_url), allowed={PERSON: "anna"})
    scene.callers.replace({}, shorter)
    assert getattr(scene.at_once(token), "status", None) == 403
    assert scene.at_once(signed(oid=PERSON)) == "anna"


async def test_closing_gives_up_a_fetch_under_way(scene: Scene) -> None:
    scene.issuer.may_answer.clear()
    waiting = asyncio.ensure_future(scene.identify(signed()))
    await asyncio.wait([waiting], timeout=0.05)
    await scene.callers.close()
    assert getattr(await waiting, "status", None) == 503
    scene.issuer.may_answer.set()
