"""What holds for the objects of every family: hostile requests, pages, and memory."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.sim import Settings
from lb.sim.decision import Asked, Decision
from lb.sim.endpoint import Endpoint
from lb.sim.objects.missing import FILE, Refused
from lb.sim.objects.routing import WAYS
from lb.sim.objects.sealing import Seal
from lb.sim.objects.shelf import Kept, Room, Shelf, page

KEYS = [
    "input", "previous_response_id", "conversation", "tools", "include", "items", "metadata", "file_id", "file_ids",
    "files", "input_file_id", "endpoint", "part_ids", "bytes", "purpose", "filename", "model", "messages",
    "assistant_id", "thread", "tool_resources", "tool_outputs", "additional_messages", "attachments", "training_file",
    "prompt", "query", "max_num_results", "data_source_config", "data_source", "source", "content", "role", "type",
    "id", "text", "stream", "background", "store", "vector_store_ids", "container", "file_search", "code_interpreter",
    "encrypted_content",
]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(["", "x", "message", "reasoning", "file_search", "user"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)


def decided(endpoint: Endpoint, method: str, path: str, body: bytes = b"", **headers: str) -> Decision:
    return endpoint.decide(Asked(method, f"/openai/v1{path}", headers, body), 0.0, 1_795_000_000.0)


def status(decision: Decision) -> int:
    return decision.refusal.status if decision.refusal else 200


def made(endpoint: Endpoint) -> list[str]:
    """Ids of one object of each family that can be made without another one."""
    ids = []
    for path, body in (
        ("/responses", {"model": "chat", "input": "x"}),
        ("/conversations", {}),
        ("/vector_stores", {}),
        ("/assistants", {"model": "chat"}),
        ("/threads", {"messages": [{"role": "user", "content": "x"}]}),
        ("/containers", {}),
        ("/evals", {"data_source_config": {}}),
        ("/uploads", {"bytes": 1, "purpose": "batch"}),
        ("/videos", {"prompt": "x"}),
    ):
        decision = decided(endpoint, "POST", path, orjson.dumps(body))
        shown = decision.found or (decision.answer and decision.answer.body)
        assert isinstance(shown, dict), decision
        ids.append(shown["id"])
    return ids


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_no_request_is_too_strange(data: st.DataObject) -> None:
    endpoint = Endpoint(Settings())
    ids = [*made(endpoint), "unknown", "%2e%2e", "x" * 300]
    for _ in range(3):
        method, _, path = data.draw(st.sampled_from([*WAYS, "POST /responses"])).partition(" ")
        while "{}" in path:
            path = path.replace("{}", data.draw(st.sampled_from(ids)), 1)
        path += data.draw(
            st.sampled_from(["", "?limit=x", "?limit=99999999999", "?after=x", "?stream=true", "?order=asc"])
        )
        body = {"model": "chat", **data.draw(bodies)}
        assert status(decided(endpoint, method, path, orjson.dumps(body))) in (200, 400, 404)


@pytest.mark.parametrize("key", [key for key in WAYS if "{}" in key])
def test_what_is_not_there_is_refused_and_says_what(key: str) -> None:
    method, _, path = key.partition(" ")
    endpoint = Endpoint(Settings())
    decision = decided(endpoint, method, path.replace("{}", "unknown"), b"{}")
    assert status(decision) == 404
    assert "unknown" in decision.refusal.body["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"x"', b"{}{}"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert status(decided(Endpoint(Settings()), "POST", "/threads", body)) == 400


def test_objects_are_refused_without_the_right_key() -> None:
    endpoint = Endpoint(Settings(keys=("secret",)))
    assert status(decided(endpoint, "GET", "/files")) == 401
    assert status(decided(endpoint, "GET", "/files", **{"api-key": "secret"})) == 200


@given(
    st.integers(0, 30),
    st.integers(1, 12),
    st.sampled_from(["asc", "desc"]),
)
def test_pages_put_together_are_the_list(count: int, limit: int, order: str) -> None:
    listed = [{"id": str(i)} for i in range(count)]
    seen: list[str] = []
    query = {"limit": str(limit), "order": order}
    while True:
        found = page(listed, query, FILE)
        seen += [one["id"] for one in found["data"]]
        if not found["has_more"]:
            break
        query["after"] = found["last_id"]
    ids = [one["id"] for one in listed]
    assert seen == (ids if order == "asc" else ids[::-1])


def test_a_page_before_an_object_ends_there() -> None:
    listed = [{"id": name} for name in "abcde"]
    found = page(listed, {"order": "asc", "after": "a", "before": "d"}, FILE)
    assert [one["id"] for one in found["data"]] == ["b", "c"]
    with pytest.raises(Refused):
        page(listed, {"before": "z"}, FILE)


def test_what_belongs_to_an_object_goes_with_it() -> None:
    room = Room(1_000_000)
    outer, inner = Shelf(FILE, room), Shelf(FILE, room)
    outer.add({"id": "a"}, inner=inner)
    for name in "xyz":
        inner.add({"id": name}, 1000)
    outer.drop("a")
    assert (len(outer), len(inner), room.bytes) == (0, 0, 0)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 5000), st.booleans()), max_size=60))
def test_the_room_is_never_exceeded_and_its_count_is_right(steps: list[tuple[str, int, bool]]) -> None:
    room = Room(20_000)
    shelves = [Shelf(FILE, room), Shelf(FILE, room)]
    for name, weight, drop in steps:
        shelf = shelves[weight % 2]
        if drop:
            shelf.forget(name)
        else:
            shelf.add({"id": name}, weight)
        assert room.bytes <= 20_000
    for shelf in shelves:
        shelf.clear()
    assert room.bytes == 0


def test_one_object_may_be_larger_than_the_room() -> None:
    room = Room(1000)
    shelf = Shelf(FILE, room)
    shelf.add({"id": "a"}, 10)
    shelf.add({"id": "b"}, 5000)
    assert [kept.body["id"] for kept in shelf] == ["b"]


def test_each_look_is_one_step() -> None:
    kept = Kept({"id": "a", "status": "queued"}, [lambda _: {"status": "running"}, lambda today: {"done_at": today}])
    assert [dict(kept.step(7)) for _ in range(3)] == [
        {"id": "a", "status": "running"},
        {"id": "a", "status": "running", "done_at": 7},
        {"id": "a", "status": "running", "done_at": 7},
    ]


@pytest.mark.parametrize("content", ["", "x", "gAAAA", "ü", None, 7, "gAAA" + "A" * 400])
def test_nobody_opens_what_was_not_sealed(content: Any) -> None:
    assert not Seal().opens(content)


def test_a_seal_opens_its_own_and_nothing_that_was_changed() -> None:
    seal = Seal()
    sealed = seal.close(1_795_000_000)
    assert seal.opens(sealed)
    assert not Seal().opens(sealed)
    assert not seal.opens(sealed[:50] + ("A" if sealed[50] != "A" else "B") + sealed[51:])
