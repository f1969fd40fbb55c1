"""A body too large to keep is sent once; what came of it is the answer."""

import json
from itertools import pairwise

import pytest
from fakes import FakeStream, Story, backends, failure, ok, request, status, stream, throttled
from virtual import in_virtual_time

from lb.events import Exhausted, Outcome
from lb.exchange import Blame
from lb.spine.splice import Splice

LIMIT = b'data: {"error":{"code":"429","message":"x"}}\n\n'


def once(body: bytes = b'{"model":"chat","input":"', rest: tuple[bytes, ...] = (b"x" * 10, b'"}')) -> FakeStream:
    return FakeStream(body, rest, len(body) + sum(map(len, rest)))


@in_virtual_time
async def test_a_body_of_which_nothing_was_sent_goes_to_the_next_backend() -> None:
    story = Story({"a": [ok()], "b": [ok(b"b")]})

    async def refused(backend: object, *rest: object) -> object:
        if story.transport.send is refused and backend.name == "a":  # type: ignore[attr-defined]
            raise failure(Blame.CONNECT)()
        return await send(backend, *rest)  # type: ignore[arg-type]

    send, story.transport.send = story.transport.send, refused  # type: ignore[assignment, method-assign]
    client = await story.ask(request(body=once()))
    assert client.body == b"b"
    assert [sent.body for sent in story.transport.sent] == [b'{"model":"chat","input":"xxxxxxxxxx"}']


@pytest.mark.parametrize("make", [status(500, b"oh"), status(400, b"no"), status(408, b"late")])
def test_a_reply_to_a_body_that_is_gone_is_relayed(make: object) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Story({"a": [make], "b": [ok()]})
        client = await story.ask(request(body=once()))
        assert (client.status, story.asked) == (make().status, ["a"])  # type: ignore[operator]
        assert client.body in (b"oh", b"no", b"late")
        story.at_rest()

    tell()


@pytest.mark.parametrize("make", [throttled(86400), stream(LIMIT)], ids=["429", "in-stream"])
def test_throttled_with_a_body_that_is_gone_the_client_may_try_again_as_soon_as_somebody_would_take_it(
    make: object,
) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Story({"a": [make], "b": [ok()]})
        client = await story.ask(request(body=once()))
        assert (client.status, client.headers[b"retry-after"], story.asked) == (429, b"1", ["a"])
        assert "too large" in json.loads(client.body)["error"]["message"]
        assert story.finished.outcome is Outcome.EXHAUSTED
        assert not story.told(Exhausted), "the other backend is not throttled"
        story.at_rest()

    tell()


@in_virtual_time
async def test_throttled_everywhere_with_a_body_that_is_gone_is_a_429_with_the_soonest_return() -> None:
    story = Story({"a": [throttled(9)], "b": [throttled(60)]})
    story.transport.scripts["a"], story.transport.scripts["b"] = [throttled(60)], [throttled(9)]
    await story.ask()
    story.clock.now += 9  # type: ignore[attr-defined]
    client = await story.ask(request(body=once()))
    assert (client.status, client.headers[b"retry-after"]) == (429, b"9")


@pytest.mark.parametrize(("code", "blame"), [(502, Blame.LOST), (504, Blame.SILENT)])
def test_a_connection_lost_with_a_body_that_is_gone_is_a_502_or_504(code: int, blame: Blame) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Story({"a": [failure(blame)], "b": [ok()]})
        client = await story.ask(request(body=once()))
        assert (client.status, story.asked) == (code, ["a"])

    tell()


@in_virtual_time
async def test_a_refused_credential_with_a_body_that_is_gone_is_never_a_401() -> None:
    story = Story({"a": [status(401, b"denied")], "b": [ok()]})
    client = await story.ask(request(body=once()))
    assert client.status == 502
    assert b"misconfigured" in client.body
    story.at_rest()


@in_virtual_time
async def test_the_model_at_the_beginning_of_a_large_body_is_rewritten_and_the_rest_stays() -> None:
    (backend,) = backends("a", deployments={"chat": "gpt-54-mini"})
    story = Story({"a": [ok()]}, these=[backend])
    client = await story.ask(request(b"/openai/v1/responses", body=once()))
    assert client.status == 200
    assert story.transport.sent[0].body == b'{"model":"gpt-54-mini","input":"xxxxxxxxxx"}'


@in_virtual_time
async def test_a_model_beyond_the_beginning_of_a_large_body_is_refused_where_it_must_be_known() -> None:
    (backend,) = backends("a", deployments={"chat": "gpt-54-mini"})
    story = Story({"a": [ok()]}, these=[backend])
    client = await story.ask(request(b"/openai/v1/responses", body=once(b'{"input":"', (b'","model":"chat"}',))))
    assert client.status == 400
    assert b"beginning of the body" in client.body


@pytest.mark.parametrize("cuts", [(), (3,), (1, 2), (2, 2, 4), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("new", [b"", b"X", b"longer than before"])
@pytest.mark.parametrize(("start", "end"), [(0, 3), (1, 2), (2, 5), (4, 6), (0, 6)])
def test_a_splice_replaces_its_bytes_however_they_come_in_pieces(
    cuts: tuple[int, ...], new: bytes, start: int, end: int
) -> None:
    first, *rest = [b"abcdef"[at:to] for at, to in pairwise((0, *cuts, 6))]

    @in_virtual_time
    async def tell() -> None:
        splice = Splice(FakeStream(first, rest, 6), start, end, new)
        whole = b"abcdef"[:start] + new + b"abcdef"[end:]
        assert b"".join([piece async for piece in splice]) == whole
        assert splice.length == len(whole)
        assert whole.startswith(splice.prefix)

    tell()


def test_a_splice_of_unknown_length_stays_of_unknown_length() -> None:
    assert Splice(FakeStream(b"abc"), 0, 1, b"x").length is None
    assert Splice(FakeStream(b"abc"), 0, 1, b"x").started is False
