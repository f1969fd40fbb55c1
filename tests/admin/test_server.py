"""The operator listener: who may look, who may act, and what a browser is told."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import aiohttp
import pytest

from lb.admin.door import COOKIE, Door
from lb.admin.server import AdminServer

KEY = "a-long-random-key"
KEYS = {sha256(KEY.encode()).digest(): "ada"}
ACT = {"x-lb-action": "1"}
READING = ("/status", "/status/schema", "/metrics")
PAGE = ("/page/", "/page/me", "/page/events")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """The real server with a balancer behind it that only remembers."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.said: list[tuple[str, str]] = []
        self.clock = Clock()
        self.documents = 0
        self.server: AdminServer | None = None
        self.door: Door | None = None

    async def up(self, keys: dict[bytes, str] | None = None, *, loopback: bool = True) -> str:
        self.door = Door(keys or {}, self.clock, loopback=loopback)
        self.server = AdminServer(self.overview, self.metrics, self, self.door, self.say)
        await self.server.start("127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.port}"

    async def overview(self) -> dict[str, Any]:
        self.documents += 1
        return {"schema": 1, "number": self.documents}

    async def metrics(self) -> bytes:
        return b"lb_info 1\n"

    async def switch(self, backend: str, by: str, *, out: bool) -> bool:
        self.done.append(("switch", backend, by, out))
        return backend == "east"

    async def recall(self, backend: str, deployment: str | None, by: str) -> bool:
        self.done.append(("recall", backend, deployment, by))
        return backend == "east"

    def say(self, level: str, text: str, **fields: Any) -> None:
        self.said.append((level, text))


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    found = Listener()
    yield found
    if found.server is not None:
        await found.server.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def status(session: aiohttp.ClientSession, url: str, **more: Any) -> int:
    async with session.get(url, **more) as reply:
        return reply.status


async def act(session: aiohttp.ClientSession, url: str, headers: dict[str, str], **said: Any) -> tuple[int, Any]:
    said = said or {"do": "take-out", "backend": "east"}
    async with session.post(f"{url}/page/actions", data=json.dumps(said), headers=headers) as reply:
        return reply.status, await reply.json()


async def test_on_loopback_without_keys_this_machine_may_do_everything(
    listener: Listener, session: aiohttp.ClientSession
) -> None:
    url = await listener.up()
    assert {await status(session, url + path) for path in (*READING, *PAGE)} == {200}
    assert await act(session, url, ACT) == (200, {"done": True})
    assert await act(session, url, ACT, do="put-back", backend="east") == (200, {"done": True})
    assert await act(session, url, ACT, do="end-cooldown", backend="east", deployment="chat") == (200, {"done": True})
    assert listener.done == [
        ("switch", "east", "loopback", True),
        ("switch", "east", "loopback", False),
        ("recall", "east", "chat", "loopback"),
    ]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8081", "[::2]", "127.0.0.1@evil.example:80"]
)
async def test_a_name_that_a_stranger_may_point_here_opens_nothing(
    listener: Listener, session: aiohttp.ClientSession, host: str
) -> None:
    """DNS rebinding: the browser believes that it talks to the stranger's site."""
    url = await listener.up()
    for path in (*READING, *PAGE):
        assert await status(session, url + path, headers={"host": host}) == 403
    assert (await act(session, url, {**ACT, "host": host}))[0] == 403
    assert listener.done == []


@pytest.mark.parametrize("host", ["localhost", "localhost:9999", "lb.localhost:1", "127.0.0.5", "[::1]:8081"])
async def test_names_of_this_machine_are_fine(listener: Listener, session: aiohttp.ClientSession, host: str) -> None:
    url = await listener.up()
    assert await status(session, f"{url}/status", headers={"host": host}) == 200


async def test_beyond_loopback_without_keys_there_is_nothing_to_switch(
    listener: Listener, session: aiohttp.ClientSession
) -> None:
    url = await listener.up(loopback=False)
    assert {await status(session, url + path, headers={"host": "lb.prod:8081"}) for path in READING} == {200}
    assert {await status(session, url + path) for path in PAGE} == {403}
    assert (await act(session, url, ACT))[0] == 403
    assert listener.done == []


@pytest.mark.parametrize("loopback", [True, False])
async def test_with_keys_a_stranger_gets_nothing_but_the_form(
    listener: Listener, session: aiohttp.ClientSession, loopback: bool
) -> None:
    url = await listener.up(KEYS, loopback=loopback)
    wrong = [{}, {"authorization": "Bearer wrong"}, {"api-key": "wrong"}, {"cookie": f"{COOKIE}=wrong"},
             {"authorization": f"Basic {KEY}"}, {"authorization": "Bearer \udcff"}]  # fmt: skip
    for headers in wrong:
        assert {await status(session, url + path, headers=headers) for path in (*READING, *PAGE)} == {401}
        assert (await act(session, url, {**ACT, **headers}))[0] == 401
    async with session.get(f"{url}/page/") as reply:
        text = await reply.text()
    assert "<form" in text
    assert "<script" not in text
    assert (listener.done, listener.documents) == ([], 0)
    assert await status(session, f"{url}/healthz") == 200


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY}"}, {"api-key": KEY}]
)
async def test_a_key_opens_everything_for_programs(
    listener: Listener, session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    url = await listener.up(KEYS, loopback=False)
    assert {await status(session, url + path, headers=headers) for path in (*READING, *PAGE)} == {200}
    assert await act(session, url, {**ACT, **headers}) == (200, {"done": True})
    assert listener.done == [("switch", "east", "ada", True)]


async def signed_in(session: aiohttp.ClientSession, url: str, key: str = KEY, **headers: str) -> tuple[int, str]:
    async with session.post(f"{url}/page/login", data={"key": key}, headers=headers, allow_redirects=False) as reply:
        return reply.status, reply.headers.get("set-cookie", "")


async def test_a_browser_signs_in_and_out(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up(KEYS)
    code, cookie = await signed_in(session, url)
    assert code == 303
    assert KEY not in cookie
    for part in ("HttpOnly", "SameSite=Strict", "Path=/page", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie
    assert {await status(session, url + path) for path in PAGE} == {200}
    async with session.get(f"{url}/page/me") as reply:
        assert await reply.json() == {"name": "ada", "signed_in": True}
    assert (await act(session, url, ACT))[0] == 200
    async with session.post(f"{url}/page/logout", allow_redirects=False) as reply:
        assert reply.status == 303
    assert await status(session, f"{url}/page/me", headers={"cookie": cookie.split(";")[0]}) == 401
    assert listener.said == [("info", "Operator `ada` signed in")]


async def test_behind_tls_the_cookie_is_for_tls_only(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up(KEYS)
    assert "Secure" in (await signed_in(session, url, **{"x-forwarded-proto": "https"}))[1]


async def test_a_wrong_key_is_told_and_logged_without_it(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up(KEYS)
    async with session.post(f"{url}/page/login", data={"key": "guess<b>"}) as reply:
        assert reply.status == 401
        text = await reply.text()
    assert "This is no operator's key." in text
    assert "guess" not in text + str(listener.said)
    assert listener.said == [("warning", "An operator's key was refused")]


async def test_a_session_ends_with_its_key_and_with_time(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up(KEYS)
    assert listener.door is not None
    await signed_in(session, url)
    listener.door.replace({sha256(b"another").digest(): "bob"})
    assert await status(session, f"{url}/page/me") == 401
    listener.door.replace(KEYS)
    assert await status(session, f"{url}/page/me") == 200
    listener.clock.now += 12 * 3600
    assert await status(session, f"{url}/page/me") == 401


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_another_sites_page_can_neither_act_nor_sign_in_nor_out(
    listener: Listener, session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    url = await listener.up(KEYS)
    await signed_in(session, url)
    assert (await act(session, url, {**ACT, **headers}))[0] == 403
    assert (await signed_in(session, url, **headers))[0] == 403
    async with session.post(f"{url}/page/logout", headers=headers) as reply:
        assert reply.status == 403
    assert listener.done == []


async def test_a_form_of_another_site_cannot_send_our_field(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up()
    assert (await act(session, url, {}))[0] == 403
    async with session.options(f"{url}/page/actions", headers={"access-control-request-method": "POST"}) as reply:
        assert reply.status == 405
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    assert listener.done == []


async def test_our_own_page_may(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up()
    assert (await act(session, url, {**ACT, "origin": url}))[0] == 200
    rewritten = {**ACT, "origin": "https://lb.example", "sec-fetch-site": "same-origin"}
    assert (await act(session, url, rewritten))[0] == 200


NO_ACTIONS = [
    "", "[]", "{", '{"do": "drop", "backend": "east"}', '{"do": "take-out"}', '{"do": "take-out", "backend": 1}',
    '{"do": "end-cooldown", "backend": "east", "deployment": 5}', '{"do": ["take-out"], "backend": "east"}',
]  # fmt: skip


@pytest.mark.parametrize("body", NO_ACTIONS)
async def test_what_is_no_action_is_refused(listener: Listener, session: aiohttp.ClientSession, body: str) -> None:
    url = await listener.up()
    async with session.post(f"{url}/page/actions", data=body, headers=ACT) as reply:
        assert reply.status == 400
        assert set(await reply.json()) == {"error"}
    assert listener.done == []


async def test_what_cannot_be_done_is_said(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up()
    code, told = await act(session, url, ACT, do="take-out", backend="nobody")
    assert (code, "no such backend" in told["error"]) == (409, True)


async def test_a_body_without_end_is_cut_off(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up()
    async with session.post(f"{url}/page/actions", data=b"x" * 100_000, headers=ACT) as reply:
        assert reply.status == 413


@pytest.mark.parametrize("path", ["/healthz", *READING, *PAGE, "/nowhere", "/"])
async def test_every_answer_says_what_a_browser_may_not_do_with_it(
    listener: Listener, session: aiohttp.ClientSession, path: str
) -> None:
    url = await listener.up()
    async with session.get(url + path, allow_redirects=False) as reply:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-frame-options"] == "DENY"
        if "html" in reply.headers.get("content-type", ""):
            assert "script-src 'sha256-" in reply.headers["content-security-policy"]
            assert "unsafe" not in reply.headers["content-security-policy"]


async def test_the_stream_begins_with_everything_and_goes_on(
    listener: Listener, session: aiohttp.ClientSession
) -> None:
    url = await listener.up()
    async with session.get(f"{url}/page/events", headers={"last-event-id": "77"}) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        lines = [await reply.content.readline() for _ in range(9)]
    assert lines == [
        b"retry: 1000\n", b"\n",
        b"id: 1\n", b"event: status\n", b'data: {"schema":1,"number":1}\n', b"\n",
        b"id: 2\n", b"event: status\n", b'data: {"schema":1,"number":2}\n',
    ]  # fmt: skip


async def test_a_stream_ends_when_its_key_is_taken_away(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up(KEYS)
    assert listener.door is not None
    async with session.get(f"{url}/page/events", headers={"api-key": KEY}) as reply:
        await reply.content.readline()
        listener.door.replace({sha256(b"another").digest(): "bob"})
        await reply.content.read()
        assert reply.content.at_eof()


async def test_closing_ends_the_streams(listener: Listener, session: aiohttp.ClientSession) -> None:
    url = await listener.up()
    assert listener.server is not None
    async with session.get(f"{url}/page/events") as reply:
        await reply.content.readline()
        await listener.server.close()
        listener.server = None
        await reply.content.read()
        assert reply.content.at_eof()


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("kind", "body"),
    [(f"{FORM}; charset=nope", b"key=a"), (FORM, b"key=\xff"), ("multipart/form-data", b"--x\r\n")],
)
async def test_what_is_no_form_is_the_callers_mistake(
    listener: Listener, session: aiohttp.ClientSession, kind: str, body: bytes
) -> None:
    url = await listener.up(KEYS)
    async with session.post(f"{url}/page/login", data=body, headers={"content-type": kind}) as reply:
        assert reply.status == 400
