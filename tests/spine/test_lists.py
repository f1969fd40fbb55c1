"""Lists name the objects of all backends, or say why they cannot; and nobody sees another's."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fakes import FakeClient, FakeReply, FakeStream, Story, failure, request, status, throttled

from lb.balancing.affinity import Affinity
from lb.balancing.asker import Asker
from lb.balancing.backend import Backend
from lb.balancing.creations import Creation
from lb.balancing.pins import Pins, size_of
from lb.events import Outcome
from lb.exchange import BackendFailed, Blame, Request
from lb.spine.lists import PAGE_MAX, Lists, _all, _Stop

FILES = b"/openai/v1/files"


class Shelf(Story):
    """Backends with files: each gives pages of at most three, or `most`."""

    most = 3

    def __init__(
        self, files: dict[str, dict[str, int]], *, unowned: bool = False, these: Sequence[Backend] | None = None
    ) -> None:
        super().__init__({name: [lambda name=name: self.page(name)] for name in files}, these=these)
        self.files = files
        self.affinity = Affinity(Pins(bytearray(size_of(1000))), self.pool.backends)
        self.gateway.lists = Lists(self.failover, self.affinity, unowned=unowned)

    def page(self, backend: str) -> FakeReply:
        sent = next(sent for sent in reversed(self.transport.sent) if sent.backend == backend)
        query = parse_qs(urlsplit(sent.target.decode()).query)
        newest = sorted(self.files[backend].items(), key=lambda item: -item[1])
        ids = [name for name, _ in newest]
        rest = newest[ids.index(query["after"][0]) + 1 if "after" in query else 0 :]
        size = min(int(query["limit"][0]) if "limit" in query else 20, self.most)
        data = [{"id": name, "created_at": moment} for name, moment in rest[:size]]
        body = json.dumps({"object": "list", "data": data, "has_more": len(rest) > size}).encode()
        return FakeReply(200, [("Content-Type", "application/json")], [body[:10], body[10:]])

    async def list(self, query: bytes = b"", **more: object) -> FakeClient:
        return await self.ask(listing(query, **more))


def listing(query: bytes = b"", target: bytes = FILES, **more: object) -> Request:
    return request(target + query, "GET", b"", sized=False, **more)


def ids(client: FakeClient) -> list[str]:
    assert client.status == 200, client.body
    return [item["id"] for item in json.loads(client.body)["data"]]


THREE = {"a": {"file-a1": 1, "file-a4": 4}, "b": {"file-b2": 2, "file-b5": 5}, "c": {"file-c3": 3}}


async def test_a_list_is_that_of_all_backends_newest_first() -> None:
    story = Shelf(THREE)
    client = await story.list()
    assert ids(client) == ["file-b5", "file-a4", "file-c3", "file-b2", "file-a1"]
    told = json.loads(client.body)
    assert (told["object"], told["first_id"], told["last_id"], told["has_more"]) == (
        "list",
        "file-b5",
        "file-a1",
        False,
    )
    assert client.headers[b"x-lb-attempts"] == b"3"
    assert (story.finished.outcome, story.finished.status, story.finished.attempts) == (Outcome.RELAYED, 200, 3)
    story.at_rest()


async def test_pages_of_it_follow_each_other() -> None:
    files = {
        name: {f"file-{name}{moment}": moment for moment in range(start, 40, 3)} for start, name in enumerate("abc")
    }
    story = Shelf(files)
    seen: list[str] = []
    query = b"?limit=7"
    while True:
        page = json.loads((await story.list(query)).body)
        seen += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            break
        query = b"?limit=7&after=" + page["last_id"].encode()
    assert seen == [f"file-{'abc'[moment % 3]}{moment}" for moment in range(39, -1, -1)]
    story.at_rest()


async def test_what_a_list_names_is_found_from_then_on() -> None:
    story = Shelf(THREE)
    await story.list()
    assert all(story.affinity.knows(name.encode()) for files in THREE.values() for name in files)


FAILED: dict[str, tuple[object, int]] = {
    "throttled": (throttled(9), 429),
    "down": (failure(Blame.CONNECT), 502),
    "failing": (status(500, b"oh"), 500),
    "refusing us": (status(401), 502),
    "no list": (status(200, b'{"data":7}'), 502),
    "no json": (status(200, b"<html>"), 502),
    "too long": (status(200, b" " * (PAGE_MAX + 1)), 502),
    "cut": (lambda: FakeReply(200, [], [b"{", BackendFailed(Blame.LOST, "cut")]), 502),
    "complaining": (status(400, b'{"error":{"message":"limit"}}'), 400),
}


@pytest.mark.parametrize("how", FAILED)
async def test_a_list_that_would_lack_a_part_is_an_error(how: str) -> None:
    answer, expected = FAILED[how]
    story = Shelf(THREE)
    story.transport.scripts["b"] = [answer]
    client = await story.list()
    assert client.status == expected
    if how in ("throttled", "down", "refusing us", "no list", "no json", "too long", "cut"):
        assert b"`b`" in client.body
    if how == "throttled":
        assert client.headers[b"retry-after"] == b"9"
    if how == "complaining":
        assert client.body == b'{"error":{"message":"limit"}}'
    story.at_rest()


async def test_one_that_operators_have_taken_out_is_missed_too() -> None:
    story = Shelf(THREE)
    story.pool.switch(story.clock(), "b", "operator", out=True)
    client = await story.list()
    assert client.status == 503
    assert b"`b` cannot be asked" in client.body


async def test_where_the_api_is_not_served_there_is_nothing_to_list() -> None:
    story = Shelf(THREE)
    story.transport.scripts["b"] = [status(404, b'{"error":{"code":"404","message":"Resource not found"}}')]
    assert ids(await story.list()) == ["file-a4", "file-c3", "file-a1"]


async def test_a_tenant_sees_its_own_and_is_told_how_many_have_no_known_owner() -> None:
    story = Shelf(THREE)
    story.affinity.learn([Creation(b"file-a4", True)], "a", "ada")
    story.affinity.learn([Creation(b"file-b2", True)], "b", "bob")
    story.affinity.learn([Creation(b"file-c3", True)], "c", "ada")
    ada = await story.list(caller="ada")
    assert ids(ada) == ["file-a4", "file-c3"]
    assert ada.headers[b"x-lb-left-out"] == b"2"
    assert ids(await story.list(asker=Asker("bob"))) == ["file-b2"]
    assert ids(await story.list(caller="cyd")) == []
    assert len(ids(await story.list())) == 5


@pytest.mark.parametrize("limit", [b"", b"?limit=5", b"?limit=1"])
async def test_a_tenant_finds_its_own_behind_many_of_others(limit: bytes) -> None:
    others = {f"file-other{number}": 1000 + number for number in range(600)}
    story = Shelf({"a": {"file-mine": 1, **others}, "b": {}})
    story.most = 100
    story.affinity.learn([Creation(b"file-mine", True)], "a", "ada")
    assert ids(await story.list(limit, caller="ada")) == ["file-mine"]
    assert story.asked.count("a") <= 8


async def test_what_has_no_known_owner_is_shown_where_that_is_wanted() -> None:
    story = Shelf(THREE, unowned=True)
    story.affinity.learn([Creation(b"file-b2", True)], "b", "bob")
    ada = await story.list(caller="ada")
    assert ids(ada) == ["file-b5", "file-a4", "file-c3", "file-a1"]
    assert b"x-lb-left-out" not in ada.headers


async def test_one_backend_is_filtered_for_tenants_and_passed_on_for_others() -> None:
    story = Shelf({"a": {"file-a1": 1, "file-a2": 2}})
    story.affinity.learn([Creation(b"file-a1", True)], "a", "ada")
    assert ids(await story.list(caller="ada")) == ["file-a1"]
    plain = await story.list()
    assert plain.headers[b"x-lb-backend"] == b"a"
    assert ids(plain) == ["file-a2", "file-a1"]


async def test_another_tenants_object_is_no_cursor() -> None:
    story = Shelf(THREE)
    story.affinity.learn([Creation(b"file-b2", True)], "b", "bob")
    client = await story.list(b"?after=file-b2", caller="ada")
    assert (client.status, json.loads(client.body)["error"]["message"]) == (404, "No such object: file-b2")
    assert story.asked == []


async def test_a_tenant_with_backends_of_its_own_sees_those() -> None:
    story = Shelf(THREE, unowned=True)
    asker = Asker("ada", strangers=frozenset({"b"}), pinned=True)
    assert ids(await story.list(asker=asker)) == ["file-a4", "file-c3", "file-a1"]
    assert sorted(story.asked) == ["a", "c"]


async def test_an_endpoint_that_is_there_twice_is_asked_once() -> None:
    these = [Backend("a", "https://same.example"), Backend("b", "https://same.example")]
    story = Shelf({"a": {"file-a1": 1}, "b": {"file-a1": 1}}, these=these)
    assert ids(await story.list()) == ["file-a1"]
    assert story.asked == ["a"]


async def test_parts_are_asked_for_unpacked() -> None:
    story = Shelf(THREE)
    asked: list[Any] = []
    send = story.transport.send

    async def note(backend: Backend, request: Request, target: bytes, body: Any) -> Any:
        asked.append(request.fields)
        return await send(backend, request, target, body)

    story.transport.send = note  # type: ignore[method-assign]
    await story.list(headers=((b"Accept-Encoding", b"gzip"), (b"X-Other", b"1"), (b"If-None-Match", b'"1"')))
    assert asked == [b"X-Other: 1\r\n"] * 3


async def test_jobs_of_videos_are_a_list_too() -> None:
    story = Shelf({"a": {"task_a1": 1}, "b": {"task_b2": 2}})
    story.affinity.learn([Creation(b"task_b2", True)], "b", "bob")
    story.affinity.learn([Creation(b"task_a1", True)], "a", "ada")
    jobs = b"/openai/v1/video/generations/jobs"
    assert ids(await story.list(target=jobs)) == ["task_b2", "task_a1"]
    assert ids(await story.list(target=jobs, caller="ada")) == ["task_a1"]


async def test_a_body_of_a_list_goes_to_no_backend() -> None:
    story = Shelf(THREE)
    asked: list[Any] = []
    send = story.transport.send

    async def note(backend: Backend, request: Request, target: bytes, body: Any) -> Any:
        asked.append((request.body, request.sized, request.chunked))
        return await send(backend, request, target, body)

    story.transport.send = note  # type: ignore[method-assign]
    sent = request(FILES, "GET", FakeStream(b"x", [b"y"]), sized=True, chunked=True)
    assert len(ids(await story.ask(sent))) == 5
    assert asked == [(b"", False, False)] * 3


async def test_a_backend_that_stops_a_list_is_the_answer_also_beside_a_fault_of_ours() -> None:
    async def stop() -> None:
        raise _Stop(429, (), b"later")

    async def fault() -> None:
        raise KeyError

    with pytest.raises(_Stop):
        await _all([fault(), stop()])
    with pytest.raises(KeyError):
        await _all([fault(), fault()])


@pytest.mark.parametrize(
    ("target", "method"),
    [(FILES + b"/file-a1", "GET"), (FILES, "POST"), (b"/openai/v1/models", "GET"), (b"/openai/v1/responses", "GET")],
)
async def test_anything_else_is_no_list(target: bytes, method: str) -> None:
    lists = Shelf(THREE).gateway.lists
    assert lists is not None
    assert not lists.wants(request(target, method, caller="ada"))
