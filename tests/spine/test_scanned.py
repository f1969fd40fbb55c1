"""Where only certain deployments are served, a body too large to keep is read along: no backend gets all of one that
names its model twice."""

import asyncio
import json

import pytest
from fakes import FakeClient, FakeReply, FakeStream, Story, backends, failure, ok, request
from virtual import in_virtual_time

from lb.balancing.backend import Backend
from lb.balancing.model_scan import ModelScan
from lb.balancing.routing import Place, Unroutable
from lb.events import Judged, Outcome
from lb.exchange import Blame, BodyStream, Reply, Request
from lb.spine.scanned import SLICE, Scanned

V1 = b"/openai/v1/chat/completions"
PREFIX = b'{"model":"chat","input":"'
CHAT = backends("a b", deployments={"chat": "gpt-54-mini"})
FORM = {"target": b"/openai/v1/audio/transcriptions", "content_type": b"multipart/form-data; boundary=X"}


def part(name: str, content: bytes) -> bytes:
    return b'--X\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), content)


def large(*rest: bytes, prefix: bytes = PREFIX) -> FakeStream:
    return FakeStream(prefix, rest, len(prefix) + sum(map(len, rest)))


def refused_as_if_kept(what: Request, whole: bytes) -> None:
    @in_virtual_time
    async def tell() -> None:
        story, kept = Story({"a": [ok()], "b": [ok()]}, these=CHAT), Story({"a": [ok()]}, these=CHAT)
        client = await story.ask(what)
        told = await kept.ask(request(what.target, body=whole, content_type=what.content_type))
        assert (client.status, client.body) == (told.status, told.body)
        assert client.status == 400
        assert json.loads(client.body)["error"]["code"] == "BadRequest"
        assert story.finished.outcome is Outcome.REFUSED
        assert (story.finished.attempts, story.told(Judged), story.transport.sent) == (1, [], [])
        story.at_rest()

    tell()


@pytest.mark.parametrize(
    ("rest", "words"),
    [((b'x","mo', b'del":"secret"}'), "twice"), ((b"x", b'","mod\\u00', b'65l":"secret"}'), "escapes")],
)
def test_a_second_model_behind_the_beginning_is_refused_as_in_a_kept_body(rest: tuple[bytes, ...], words: str) -> None:
    refused_as_if_kept(request(V1, body=large(*rest)), PREFIX + b"".join(rest))


def test_a_second_field_of_a_form_is_refused_as_in_a_kept_body() -> None:
    first, second = part("model", b"chat") + part("file", b"x"), part("model", b"secret") + b"--X--\r\n"
    refused_as_if_kept(request(body=large(second[:9], second[9:], prefix=first), **FORM), first + second)


@in_virtual_time
async def test_a_refused_body_leaves_nobody_to_blame() -> None:
    story = Story({"a": [ok()], "b": [ok()]}, these=CHAT)
    for _ in range(5):
        await story.ask(request(V1, body=large(b'","model":"secret"}')))
    story.transport.sent.clear()
    client = await story.ask(request(V1, body=large(b'"}')))
    assert (client.status, [sent.backend for sent in story.transport.sent]) == (200, ["a"])
    assert story.transport.sent[0].body == b'{"model":"gpt-54-mini","input":""}'
    story.at_rest()


@in_virtual_time
async def test_a_good_form_streams_and_is_rewritten() -> None:
    mention = b'x\r\n--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\nno'
    rest = part("file", mention) + b"--X--\r\n"
    story = Story({"a": [ok()]}, these=CHAT[:1])
    client = await story.ask(request(body=large(rest, prefix=part("model", b"chat") + b"--X"), **FORM))
    assert client.status == 400, "`--X--X` is no boundary"
    client = await story.ask(request(body=large(rest, prefix=part("model", b"chat") + part("n", b"1")), **FORM))
    assert client.status == 200
    assert story.transport.sent[-1].body == part("model", b"gpt-54-mini") + part("n", b"1") + rest


@in_virtual_time
async def test_a_body_of_which_nothing_was_sent_is_read_from_its_beginning_at_the_next_backend() -> None:
    story = Story({"a": [ok()], "b": [ok(b"b")]}, these=CHAT)

    async def refused(backend: Backend, what: Request, target: bytes, body: bytes | BodyStream) -> Reply:
        if backend.name == "a":
            raise failure(Blame.CONNECT)()
        return await send(backend, what, target, body)

    send, story.transport.send = story.transport.send, refused  # type: ignore[method-assign]
    assert (await story.ask(request(V1, body=large(b'"}')))).body == b"b"


@in_virtual_time
async def test_where_every_deployment_is_served_a_large_body_is_nobodys_business() -> None:
    story = Story({"a": [ok()]})
    body = large(b'","model":"other"}')
    assert (await story.ask(request(V1, body=body))).status == 200
    what = request(V1, body=(path := large(b'","model":"other"}')))
    story.gateway._route(what)
    assert what.body is path


@in_virtual_time
async def test_a_reply_that_has_begun_is_left_to_be_cut() -> None:
    begun = FakeReply(200, [], [b"half", Unroutable("the body has the key `model` twice")])

    async def early(backend: Backend, what: Request, target: bytes, body: bytes | BodyStream) -> Reply:
        return begun

    story = Story({"a": [ok()]}, these=CHAT[:1])
    story.transport.send = early  # type: ignore[method-assign]
    client = await story.ask(request(V1, body=large(b"")), FakeClient())
    assert (client.status, client.body, begun.closed) == (200, b"half", 1)
    assert (story.finished.outcome, story.finished.detail) == (Outcome.REFUSED, "the body has the key `model` twice")
    story.at_rest()


@in_virtual_time
async def test_a_large_beginning_is_read_in_slices_and_passes_byte_for_byte() -> None:
    turns, running = 0, True

    async def others() -> None:
        nonlocal turns
        while running:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    prefix = PREFIX + bytes(range(35, 91)) * (SLICE // 8)
    scanned = Scanned(large(b"end", b'"}', prefix=prefix), Place.JSON, b"")
    pieces = [piece async for piece in scanned]
    running = False
    await beside
    assert b"".join(pieces) == prefix + b'end"}'
    assert max(map(len, pieces)) == SLICE
    assert turns >= len(prefix) // SLICE
    assert (scanned.length, scanned.prefix, scanned.started) == (len(prefix) + 5, prefix, True)


@in_virtual_time
async def test_a_body_that_is_kept_whole_but_was_not_searched_is_read_along() -> None:
    body = large(b'","model":"secret"}')
    body.whole = True
    client = await Story({"a": [ok()]}, these=CHAT[:1]).ask(request(V1, body=body))
    assert (client.status, b"twice" in client.body) == (400, True)


@in_virtual_time
async def test_a_body_that_was_searched_goes_where_its_end_says() -> None:
    body = large(b'","model":"chat"}', prefix=b'{"input":"')
    body.whole, body.seen = True, ModelScan(None)
    body.seen.feed(b'{"input":"","model":"chat"}')
    story = Story({"a": [ok()]}, these=CHAT[:1])
    assert (await story.ask(request(V1, body=body))).status == 200
    assert story.transport.sent[0].body == b'{"input":"","model":"gpt-54-mini"}'
