"""Requests that name objects: they go to who holds these, heal after a miss, and keep tenants apart."""

import json
from collections.abc import Sequence

import pytest
from fakes import (
    FakeClient,
    FakeReply,
    FakeStream,
    Make,
    Story,
    again,
    backends,
    ok,
    request,
    status,
    stream,
    throttled,
)

from lb.balancing.affinity import Affinity
from lb.balancing.asker import Asker
from lb.balancing.backend import Backend
from lb.balancing.creations import Creation
from lb.balancing.pins import Pins, size_of
from lb.balancing.references import EXACT_MAX
from lb.events import Healed, Outcome, Scattered, Trespassed
from lb.exchange import Handshake, Request
from lb.spine.binding import Bindings
from lb.spine.learner import READ_MAX

ID = "resp_0123456789"
GET = f"/openai/v1/responses/{ID}".encode()
POST = b"/openai/v1/responses"
NOT_FOUND = status(404, b'{"error":{"message":"Response with id resp_0123456789 not found.","code":null}}')
NO_PREVIOUS = status(400, b'{"error":{"message":"Previous response not found","code":"previous_response_not_found"}}')
SEALED = "gAAAAABo" + "x" * 600


class Bound(Story):
    """A story in which objects are looked for; `held` says who holds what, and whose it is."""

    def __init__(
        self,
        scripts: dict[str, Sequence[object]],
        held: dict[str, str] | None = None,
        tenant: str | None = None,
        these: Sequence[Backend] | None = None,
    ) -> None:
        super().__init__(scripts, these=these)
        self.affinity = Affinity(Pins(bytearray(size_of(1000))), self.pool.backends)
        self.gateway.bindings = Bindings(self.affinity, self.facts.append)
        self.gateway.watches = [self.gateway.bindings.watch]
        for name, backend in (held or {}).items():
            self.affinity.learn([Creation(name[:512].encode(), True)], backend, tenant)


def get(target: bytes = GET, method: str = "GET", **more: object) -> Request:
    return request(target, method, b"", sized=False, **more)


def post(target: bytes = POST, **body: object) -> Request:
    return request(target, body=json.dumps({"model": "chat", **body}).encode())


def code(client: FakeClient) -> object:
    return json.loads(client.body)["error"]["code"]


EVERYWAY = {
    "path": get(),
    "delete": get(method="DELETE"),
    "cancel": post(GET + b"/cancel"),
    "cursor": get(b"/openai/v1/responses/x/input_items?after=" + ID.encode()),
    "previous response": post(previous_response_id=ID),
    "conversation": post(conversation={"id": ID}),
    "item reference": post(input=[{"type": "item_reference", "id": ID}]),
    "run on a thread": post(b"/openai/threads/" + ID.encode() + b"/runs?api-version=1", assistant_id="asst_12345"),
}


@pytest.mark.parametrize("way", EVERYWAY)
async def test_a_request_goes_to_who_holds_what_it_names(way: str) -> None:
    story = Bound({"a": [ok()], "b": [ok()], "c": [ok()]}, {ID: "c"})
    client = await story.ask(EVERYWAY[way])
    assert client.status == 200
    assert story.asked == ["c"]
    story.at_rest()


async def test_encrypted_reasoning_goes_to_who_wrote_it() -> None:
    story = Bound({"a": [ok()], "b": [ok()]}, {SEALED: "b"})
    await story.ask(post(store=False, input=[{"type": "reasoning", "id": "rs_1234567", "encrypted_content": SEALED}]))
    assert story.asked == ["b"]


async def test_what_a_reply_makes_is_found_again_by_its_tenant_and_by_nobody_else() -> None:
    created = ok(json.dumps({"id": ID, "output": []}).encode())
    story = Bound({"a": [throttled(), ok()], "b": [created, ok(), ok()]})
    made = post(input="hi")
    made.caller = "ada"
    await story.ask(made)
    mine, theirs = get(caller="ada"), get(caller="bob")
    assert (await story.ask(mine)).status == 200
    assert story.asked == ["a", "b", "b"]
    refused = await story.ask(theirs)
    assert refused.status == 404
    assert json.loads(refused.body)["error"] == {
        "message": f"No such object: {ID}",
        "type": "invalid_request_error",
        "param": "id",
        "code": "not_found",
    }
    assert story.asked == ["a", "b", "b"]
    assert story.told(Trespassed) == [Trespassed("r-1", "bob", None)]


@pytest.mark.parametrize(
    ("body", "status_code", "said"),
    [
        ({"previous_response_id": ID}, 400, "previous_response_not_found"),
        ({"input": [{"encrypted_content": SEALED}]}, 400, "invalid_encrypted_content"),
        ({"input": [{"content": [{"file_id": "file-12345"}]}]}, 404, "not_found"),
        ({"input": [{"type": "message", "id": "msg_1234567"}]}, 404, "not_found"),
    ],
)
async def test_to_another_tenant_an_object_does_not_exist(body: dict[str, object], status_code: int, said: str) -> None:
    held = dict.fromkeys((ID, SEALED, "file-12345", "msg_1234567"), "a")
    story = Bound({"a": [ok()], "b": [ok()]}, held, tenant="ada")
    asked = post(**body)
    asked.asker = Asker("bob")
    client = await story.ask(asked)
    assert (client.status, code(client)) == (status_code, said)
    assert story.asked == []
    assert story.finished.outcome is Outcome.REFUSED
    own = post(**body)
    own.asker = Asker("ada")
    assert (await story.ask(own)).status == 200


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model":"chat","previous_response_id":"resp\u005f0123456789"}',
        rb'{"model":"chat","previous\u005fresponse_id":"resp_0123456789"}',
        b'{"model":"chat","previous_response_id":"resp_mine","previous_response_id":"resp_0123456789"}',
        b'{"model":"chat","previous_response_id":"resp_0123456789","previous_response_id":"resp_mine"}',
        b'\xef\xbb\xbf {"model":"chat","previous_response_id":"resp_0123456789"}',
    ],
)
async def test_another_tenants_object_cannot_be_hidden(body: bytes) -> None:
    story = Bound({"a": [ok()]}, {ID: "a"}, tenant="ada")
    client = await story.ask(request(POST, body=body, caller="bob"))
    assert client.status == 400
    assert story.asked == []


@pytest.mark.parametrize(
    "more",
    [
        {"content_encoding": b"gzip"},
        {"body": '{"previous_response_id":"resp_0123456789"}'.encode("utf-16")},
        {"body": FakeStream(b'{"model":"chat","input":"', [b'x","previous_response_id":"resp_0123456789"}'])},
        {"body": rb'{"model":"chat","previous\u005fresponse_id":"resp_0123456789","x":"%b"}' % (b"x" * EXACT_MAX)},
        {"body": rb'{"model":"chat",,"previous_response_id":"resp\u005f0123456789"}'},
    ],
)
async def test_a_body_that_cannot_be_read_is_not_passed_on_where_tenants_are_kept_apart(
    more: dict[str, object],
) -> None:
    body = {"body": b'{"model":"chat"}'} | more
    story = Bound({"a": [ok()]}, {ID: "a"}, tenant="ada")
    client = await story.ask(request(POST, caller="bob", **body))  # type: ignore[arg-type]
    assert client.status == 400
    assert b"cannot be told which objects" in client.body
    assert story.asked == []
    assert (await story.ask(request(POST, **body))).status == 200  # type: ignore[arg-type]


async def test_where_nobody_is_asked_who_he_is_objects_are_everybodys() -> None:
    story = Bound({"a": [ok()], "b": [ok()]}, {ID: "b"}, tenant="ada")
    assert (await story.ask(get())).status == 200
    assert story.asked == ["b"]


async def test_objects_on_different_backends_are_named_in_a_clear_answer() -> None:
    story = Bound({"a": [ok()], "b": [ok()]}, {ID: "a", "file-12345": "b"})
    client = await story.ask(post(previous_response_id=ID, input=[{"file_id": "file-12345"}]))
    assert (client.status, code(client)) == (400, "ObjectsOnDifferentBackends")
    assert b"`resp_0123456789` on a, `file-12345` on b" in client.body
    assert story.asked == []
    assert story.told(Scattered) == [Scattered("r-1", "chat", ("a", "b"))]


async def test_what_stands_in_metadata_does_not_scatter_a_request() -> None:
    story = Bound({"a": [ok()], "b": [ok()]}, {ID: "b", "file-12345": "a"})
    client = await story.ask(post(previous_response_id=ID, metadata={"file_id": "file-12345"}))
    assert client.status == 200
    assert story.asked == ["b"]


async def test_items_that_come_with_their_content_are_a_wish_only() -> None:
    held = {"msg_1234567": "b", "msg_7654321": "c"}
    items = [{"type": "message", "id": name, "content": []} for name in held]
    story = Bound({"a": [ok()], "b": [ok()], "c": [throttled(), ok()]}, held)
    assert (await story.ask(post(input=items))).status == 200
    assert story.asked == ["c", "a"]


MISSES: dict[str, Make] = {
    "a plain 404": NOT_FOUND,
    "no previous response": NO_PREVIOUS,
    "encrypted, with its code": status(400, b'{"error":{"code":"invalid_encrypted_content","message":"x"}}'),
    "encrypted, without": status(
        400, b'{"error":{"message":"The encrypted content for item rs_1 could not be verified.","code":null}}'
    ),
    "a file of another resource": status(
        400, b'{"error":{"code":"x","message":"Files [x] were not found due to ownership verification failure."}}'
    ),
    "an item": status(400, b'{"error":{"message":"Item with id \'rs_1\' not found.","code":null}}'),
    "in the stream": stream(b'data: {"type":"error","error":{"code":"invalid_encrypted_content","message":"x"}}\n\n'),
}  # fmt: skip


@pytest.mark.parametrize("miss", MISSES)
async def test_a_miss_is_healed_by_asking_the_others(miss: str) -> None:
    story = Bound({"a": [MISSES[miss]], "b": [MISSES[miss]], "c": [ok()]})
    client = await story.ask(post(previous_response_id=ID))
    assert client.status == 200
    assert story.asked == ["a", "b", "c"]
    assert story.verdicts == [("a", "missed"), ("b", "missed"), ("c", "relayed")]
    assert story.told(Healed) == [Healed("r-1", story.pool.backends[2], ("a", "b"))]
    assert {row.state for row in story.pool.snapshot(story.clock())} == {"available"}
    assert (await story.ask(post(previous_response_id=ID))).status == 200
    assert story.asked == ["a", "b", "c", "c"]
    story.at_rest()


@pytest.mark.parametrize("way", ["path", "delete", "cancel", "run on a thread"])
async def test_a_miss_heals_for_every_operation_since_nothing_was_done(way: str) -> None:
    story = Bound({"a": [NOT_FOUND], "b": [ok()]})
    assert (await story.ask(EVERYWAY[way])).status == 200
    assert story.asked == ["a", "b"]


async def test_who_was_wrongly_thought_to_hold_it_is_asked_first_and_then_the_others() -> None:
    story = Bound({"a": [NOT_FOUND], "b": [NOT_FOUND], "c": [ok()]}, {ID: "b"})
    assert (await story.ask(get())).status == 200
    assert story.asked == ["b", "a", "c"]


async def test_when_all_miss_the_client_gets_the_first_miss_unchanged() -> None:
    own = status(404, b'{"error":{"message":"gone"}}', ("x-from", "b"))
    story = Bound({"a": [NOT_FOUND], "b": [own], "c": [NOT_FOUND]}, {ID: "b"})
    client = await story.ask(get())
    assert (client.status, client.body, client.headers[b"x-from"]) == (404, b'{"error":{"message":"gone"}}', b"b")
    assert client.headers[b"x-lb-backend"] == b"b"
    assert story.asked == ["b", "a", "c"]
    assert story.finished.outcome is Outcome.RELAYED
    assert story.told(Healed) == []
    story.at_rest()


async def test_a_request_that_names_nothing_is_not_sent_round_for_a_404() -> None:
    story = Bound({"a": [NOT_FOUND], "b": [ok()]})
    assert (await story.ask(post(input="hi"))).status == 404
    assert story.asked == ["a"]


@pytest.mark.parametrize("refusal", [400, 413, 422])
async def test_an_error_about_something_else_is_relayed(refusal: int) -> None:
    story = Bound({"a": [status(refusal, b'{"error":{"message":"Invalid value: temperature"}}')], "b": [ok()]})
    assert (await story.ask(get())).status == refusal
    assert story.asked == ["a"]


async def test_a_throttled_owner_answers_for_itself() -> None:
    story = Bound({"a": [ok()], "b": [throttled(7)]}, {ID: "b"})
    first = await story.ask(post(previous_response_id=ID))
    assert (first.status, first.headers[b"retry-after"]) == (429, b"7")
    again = await story.ask(post(previous_response_id=ID))
    assert (again.status, again.headers[b"retry-after"]) == (429, b"7")
    assert story.asked == ["b"]
    story.at_rest()


@pytest.mark.parametrize("order", ["throttled first", "throttled last"])
async def test_one_that_may_hold_it_and_is_throttled_is_not_outvoted_by_strangers(order: str) -> None:
    scripts: dict[str, Sequence[object]] = {"a": [throttled(7)], "b": [NOT_FOUND], "c": [NOT_FOUND]}
    if order == "throttled last":
        scripts = {"a": [NOT_FOUND], "b": [NOT_FOUND], "c": [throttled(7)]}
    story = Bound(scripts)
    client = await story.ask(get())
    assert (client.status, client.headers[b"retry-after"]) == (429, b"7")
    story.at_rest()


async def test_one_that_may_hold_it_and_fails_is_not_outvoted_either() -> None:
    story = Bound({"a": [NOT_FOUND], "b": [status(500, b"oh")], "c": [NOT_FOUND]})
    client = await story.ask(get())
    assert (client.status, client.body) == (500, b"oh")
    assert story.asked == ["a", "b", "c"]


async def test_one_that_operators_have_taken_out_may_hold_it() -> None:
    story = Bound({"a": [NOT_FOUND], "b": [ok()]})
    story.pool.switch(story.clock(), "b", "operator", out=True)
    client = await story.ask(get())
    assert client.status == 502
    assert b"b: taken out" in client.body


async def test_who_missed_and_was_throttled_by_others_meanwhile_makes_nobody_wait() -> None:
    story = Bound({"a": [NOT_FOUND], "b": [NOT_FOUND]})

    def miss_and_cool() -> FakeReply:
        story.pool.cool(story.clock(), "a", None, 30.0, "others")
        return NOT_FOUND()

    story.transport.scripts["b"] = [miss_and_cool]
    assert (await story.ask(get())).status == 404


async def test_a_tenant_with_backends_of_its_own_is_sent_to_no_others() -> None:
    story = Bound({"a": [NOT_FOUND], "b": [NOT_FOUND], "c": [ok()]}, {ID: "c"})
    asker = Asker("ada", strangers=frozenset({"c"}), pinned=True)
    assert (await story.ask(get(asker=asker))).status == 404
    assert story.asked == ["a", "b"]


async def test_a_body_that_was_sent_once_cannot_be_sent_round() -> None:
    story = Bound({"a": [NO_PREVIOUS], "b": [ok()]})
    body = FakeStream(b'{"model":"chat","previous_response_id":"resp_0123456789"', [b"}"])
    client = await story.ask(request(POST, body=body))
    assert (client.status, code(client)) == (400, "previous_response_not_found")
    assert story.asked == ["a"]


async def test_a_backend_with_another_address_does_not_hold_what_the_old_one_held() -> None:
    story = Bound({"a": [ok()], "b": [ok()]}, {ID: "b"})
    moved = [Backend("a", "https://a.example"), Backend("b", "https://elsewhere.example", priority=2)]
    story.pool.replace(moved, lambda candidates, now, rng: candidates[0])
    story.affinity.replace(moved)
    await story.ask(get())
    assert story.asked == ["a"]


async def test_who_only_knows_an_id_does_not_become_its_owner() -> None:
    story = Bound({"a": [ok(json.dumps({"id": ID}).encode())]})
    assert (await story.ask(get(caller="bob"))).status == 200
    assert (await story.ask(post(GET + b"/cancel"))).status == 200
    assert (await story.ask(get(caller="ada"))).status == 200


STORE = b"/openai/v1/vector_stores/vs_1234567/files"
LONG = b'{"id":"file-12345","padding":"' + b"x" * READ_MAX + b'"}'
NAMED: dict[str, tuple[Request, bytes, bytes]] = {
    "a file put into a store": (post(STORE, file_id="file-12345"), b"file-12345", b'{"id":"file-12345"}'),
    "in a reply too long to be read": (post(STORE, file_id="file-12345"), b"file-12345", LONG),
    "in a list of what one's own holds": (
        get(STORE),
        b"file-12345",
        b'{"object":"list","data":[{"id":"file-12345","object":"vector_store.file"}]}',
    ),
    "a conversation": (
        post(conversation="conv_1234567"),
        b"conv_1234567",
        b'{"id":"resp_new1234","conversation":{"id":"conv_1234567"}}',
    ),
    "an item": (
        post(b"/openai/v1/conversations/vs_1234567/items", items=[{"type": "message", "id": "msg_1234567"}]),
        b"msg_1234567",
        b'{"object":"list","data":[{"id":"msg_1234567"}]}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", NAMED)
async def test_who_names_an_object_in_a_request_for_another_does_not_become_its_owner(way: str) -> None:
    asked, name, answer = NAMED[way]
    story = Bound({"a": [ok(answer)]}, {"vs_1234567": "a"}, tenant="ada")
    mine = again(asked, caller="ada")
    assert (await story.ask(mine)).status == 200
    assert story.affinity.knows(name) is not None or way == "an item"
    assert not story.affinity.is_owned(name)


async def test_the_file_of_ones_own_upload_is_ones_own() -> None:
    done = b'{"id":"upload_12345","object":"upload","file":{"id":"file-12345","object":"file"}}'
    story = Bound({"a": [ok(done)]}, {"upload_12345": "a"}, tenant="ada")
    asked = again(post(b"/openai/v1/uploads/upload_12345/complete", part_ids=["part_12345"]), caller="ada")
    assert (await story.ask(asked)).status == 200
    assert story.affinity.is_owned(b"file-12345")


async def test_what_a_batch_of_ones_own_tells_is_ones_own() -> None:
    told = ok(json.dumps({"id": "batch_12345", "output_file_id": "file-12345"}).encode())
    story = Bound({"a": [told, ok()]}, {"batch_12345": "a"}, tenant="ada")
    await story.ask(get(b"/openai/v1/batches/batch_12345", caller="ada"))
    assert (await story.ask(get(b"/openai/v1/files/file-12345/content", caller="bob"))).status == 404
    assert (await story.ask(get(b"/openai/v1/files/file-12345/content", caller="ada"))).status == 200


@pytest.mark.parametrize(("stored", "known"), [(b"true", True), (b"false", False)])
async def test_a_chat_is_learned_if_it_is_stored(stored: bytes, known: bool) -> None:
    story = Bound({"a": [ok(b'{"id":"chatcmpl-12345"}')]})
    await story.ask(request(b"/openai/v1/chat/completions", body=b'{"model":"chat","store":' + stored + b"}"))
    assert (story.affinity.knows(b"chatcmpl-12345") is not None) is known


async def test_the_content_of_files_is_not_read() -> None:
    story = Bound({"a": [ok(b'{"id":"resp_from_a_file"}')]}, these=backends("a"))
    await story.ask(get(b"/openai/v1/files/file-12345/content"))
    assert story.affinity.knows(b"resp_from_a_file") is None


EQUALS = [Backend(name, f"https://{name}.example", api_key="s3cret") for name in "abc"]
MAKES = ["files", "uploads", "vector_stores", "assistants", "threads", "conversations", "containers", "evals"]


def three_times(path: str) -> list[Request]:
    return [post(f"/openai/v1/{path}".encode()) for _ in range(3)]


@pytest.mark.parametrize("collection", MAKES)
async def test_objects_that_are_used_together_are_made_in_one_place(collection: str) -> None:
    story = Bound({"a": [ok()] * 6, "b": [ok()] * 6, "c": [ok()] * 6}, these=EQUALS)
    for one in [*three_times(collection), *three_times("threads")]:
        await story.ask(one)
    assert len(set(story.asked)) == 1


async def test_what_nobody_knows_is_looked_for_at_home_first() -> None:
    story = Bound({"a": [ok()] * 4, "b": [ok()] * 4, "c": [ok()] * 4}, these=EQUALS)
    for number in range(4):
        await story.ask(get(b"/openai/v1/files/file-0123456789%d" % number))
    assert len(set(story.asked)) == 1


@pytest.mark.parametrize("path", ["responses", "chat/completions", "videos"])
async def test_what_needs_nothing_else_is_made_anywhere(path: str) -> None:
    story = Bound({"a": [ok()] * 3, "b": [ok()] * 3, "c": [ok()] * 3}, these=EQUALS)
    for one in three_times(path):
        await story.ask(one)
    assert len(set(story.asked)) == 3


async def test_a_throttled_home_is_left_for_another() -> None:
    story = Bound({"a": [ok()] * 2, "b": [ok()] * 2, "c": [ok()] * 2}, these=EQUALS)
    await story.ask(post(b"/openai/v1/threads"))
    home = story.asked[0]
    other = Bound({name: [throttled()] if name == home else [ok()] for name in "abc"}, these=EQUALS)
    assert (await other.ask(post(b"/openai/v1/threads"))).status == 200
    assert other.asked[0] == home
    assert len(other.asked) == 2


async def test_objects_can_be_spread() -> None:
    story = Bound({"a": [ok()] * 3, "b": [ok()] * 3, "c": [ok()] * 3}, these=EQUALS)
    assert story.gateway.bindings is not None
    story.gateway.bindings.together = False
    for one in three_times("threads"):
        await story.ask(one)
    assert len(set(story.asked)) == 3


UNSHARED = [
    (b"/openai/threads?api-version=1", "GET", 403),
    (b"/openai/v1/uploads", "GET", 403),
    (b"/openai/v1/conversations", "GET", 403),
    (b"/openai/v1/files", "get", 403),
    (b"/anthropic/v1/messages/batches", "GET", 403),
    (b"/anthropic/v1/files", "GET", 403),
    (b"/openai/v1/files;x=1", "GET", 400),
    (b"/openai/v1/files/file-12345%20", "GET", 400),
    (b"/openai/v1/files/file-12345%20", "DELETE", 400),
    (b"/openai/v1/x/../files", "GET", 400),
    (b"/anthropic/v1/messages/batches/%6Dsgbatch_12345;", "GET", 400),
]


@pytest.mark.parametrize(("target", "method", "expected"), UNSHARED)
async def test_what_would_tell_of_everybodys_objects_is_told_to_nobody_who_has_a_name(
    target: bytes, method: str, expected: int
) -> None:
    story = Bound({"a": [ok()]})
    client = await story.ask(get(target, method, caller="bob"))
    assert client.status == expected
    assert story.asked == []
    assert (await story.ask(get(target, method))).status == 200


@pytest.mark.parametrize(
    ("target", "caller", "allowed", "expected"),
    [
        (POST, "bob", False, 403),
        (b"/openai/responses?api-version=1&model=chat", "bob", False, 403),
        (POST, "bob", True, 101),
        (POST, None, False, 101),
        (b"/openai/v1/realtime?model=voice", "bob", False, 101),
    ],
)
async def test_a_socket_in_which_anybodys_objects_can_be_named_is_for_those_without_objects_of_their_own(
    target: bytes, caller: str | None, allowed: bool, expected: int
) -> None:
    story = Bound({"a": [FakeReply(101, [("Upgrade", "websocket")], [])]})
    assert story.gateway.bindings is not None
    story.gateway.bindings.sessions = allowed
    client = await story.ask(get(target, caller=caller, handshake=Handshake(b"x")))
    assert client.status == expected
    assert story.asked == ([] if expected == 403 else ["a"])


FORM = b"--x\r\nContent-Disposition: form-data; %b\r\n\r\nfile-12345\r\n--x--\r\n"
MULTIPART = b"multipart/form-data; boundary=x"
NAMING = {
    "plain": (MULTIPART, FORM % b'name="file_id"'),
    "bare": (MULTIPART, FORM % b"name=file_id"),
    "in another case": (MULTIPART, FORM % b'NAME="File_Id"'),
    "escaped": (MULTIPART, FORM % b'name="file%5Fid"'),
    "quoted pair": (MULTIPART, FORM % rb'name="file\_id"'),
    "encoded": (MULTIPART, FORM % b"name*=utf-8''file%5fid"),
    "in pieces": (MULTIPART, FORM % b'name*0="file"; name*1="_id"'),
    "nested": (MULTIPART, FORM % b'name="input_reference[file_id]"'),
    "folded": (MULTIPART, FORM % b'\r\n name="file_id"'),
    "behind a file": (MULTIPART, FORM % b'name="file"; filename="a"' + FORM % b'name="file_id"'),
    "with bare line feeds": (MULTIPART, (FORM % b'name="file_id"').replace(b"\r", b"")),
    "behind a preamble": (MULTIPART, b"{\r\n" + FORM % b'name="file_id"'),
    "boundary twice": (MULTIPART + b"; boundary=y", FORM % b'name="file"'),
    "no boundary": (b"multipart/form-data", FORM % b'name="file"'),
    "in parts without end": (MULTIPART, b"--x\r\n" * 5000),
    "encoded as a query": (b"application/x-www-form-urlencoded", b"file_id=file-12345"),
    "too large": (MULTIPART, FakeStream(FORM % b'name="file"', [FORM % b'name="file_id"'])),
}


@pytest.mark.parametrize("how", NAMING)
async def test_a_form_that_names_an_object_is_not_passed_on_where_tenants_are_kept_apart(how: str) -> None:
    content_type, body = NAMING[how]
    story = Bound({"a": [ok()]}, {"cntr_12345": "a"}, tenant="bob")
    asked = request(b"/openai/v1/containers/cntr_12345/files", body=body, content_type=content_type, caller="bob")
    client = await story.ask(asked)
    assert client.status == 400
    assert b"cannot be told which objects" in client.body
    assert story.asked == []


@pytest.mark.parametrize("path", [b"containers/cntr_12345/files", b"files", b"uploads/upload_12345/parts", b"videos"])
async def test_a_form_that_only_brings_a_file_passes(path: bytes) -> None:
    story = Bound({"a": [ok()]})
    form = FORM % b'name="file"; filename="file_id"' + FORM % b'name="purpose"'
    client = await story.ask(request(b"/openai/v1/" + path, body=form, content_type=MULTIPART, caller="bob"))
    assert client.status == 200


async def test_an_anthropic_batch_belongs_to_who_made_it() -> None:
    made = ok(b'{"id":"msgbatch_12345","type":"message_batch"}')
    story = Bound({"a": [made, ok()]})
    batches = b"/anthropic/v1/messages/batches"
    await story.ask(request(batches, body=b'{"requests":[]}', caller="ada"))
    assert (await story.ask(get(batches + b"/msgbatch_12345/results", caller="bob"))).status == 404
    assert (await story.ask(get(batches + b"/msgbatch_12345/results", caller="ada"))).status == 200


async def test_the_videos_of_a_job_are_found_where_it_ran() -> None:
    told = ok(b'{"id":"task_12345","generations":[{"id":"gen_12345","job_id":"task_12345"}]}')
    story = Bound({"a": [ok()], "b": [told, ok()]}, {"task_12345": "b"}, tenant="ada")
    video = b"/openai/v1/video/generations/"
    await story.ask(get(video + b"jobs/task_12345", caller="ada"))
    assert (await story.ask(get(video + b"gen_99999/content/video", caller="ada"))).status == 200
    assert (await story.ask(get(video + b"gen_12345/content/video", caller="bob"))).status == 404
    assert (await story.ask(get(video + b"gen_12345/content/video", caller="ada"))).status == 200
    assert story.asked == ["b", "a", "b"]


@pytest.mark.parametrize("named", [{"previous_response_id": ID}, {"input": [{"file_id": "file-12345"}, {"id": ID}]}])
async def test_what_is_to_be_refused_and_too_large_to_be_read_in_full_is_refused(named: dict[str, object]) -> None:
    story = Bound({"a": [ok()], "b": [ok()]}, {ID: "a", "file-12345": "b"}, tenant="ada")
    asked = post(instructions="x" * EXACT_MAX, **named)
    asked.caller = "bob"
    assert (await story.ask(asked)).status in (400, 404)
    assert story.asked == []


async def test_a_large_form_that_brings_a_picture_for_a_video_passes() -> None:
    story = Bound({"a": [ok()]})
    form = FakeStream(FORM % b'name="input_reference"; filename="a.png"', [b"\r\n"])
    client = await story.ask(request(b"/openai/v1/videos", body=form, content_type=MULTIPART, caller="bob"))
    assert client.status == 200
