"""The contract's retry table, cell by cell: what came, for which kind of request, and what it does to the health."""

from dataclasses import replace

import pytest
from fakes import CHAT, FakeReply, Make, Story, again, backends, failure, ok, request, status, stream, throttled
from virtual import in_virtual_time

from lb.events import Outcome
from lb.exchange import BackendFailed, Blame

ERROR = b'{"error":{"code":"500","message":"oh"}}'
IN_STREAM_LIMIT = b'event: error\ndata: {"type":"error","error":{"code":"rate_limit_exceeded","message":"x"}}\n\n'
IN_STREAM_FAULT = b'data: {"error":{"code":"server_error","message":"x"}}\n\n'
IN_STREAM_OTHER = b'data: {"error":{"code":"content_filter","message":"x"}}\n\n'
OPENING = b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n'
NO_DEPLOYMENT = status(404, b'{"error":{"code":"DeploymentNotFound","message":"x"}}')

REQUESTS = {
    "inference": request(CHAT),
    "inference by v1": request(b"/openai/v1/responses", body=b'{"model":"chat"}'),
    "embeddings": request(b"/openai/deployments/chat/embeddings"),
    "get": request(b"/openai/v1/files/file-1", "GET", b""),
    "head": request(b"/openai/v1/models", "HEAD", b""),
    "delete": request(b"/openai/v1/responses/resp_1", "DELETE", b""),
    "batch": request(b"/openai/v1/batches", body=b'{"input_file_id":"f"}'),
    "run": request(b"/openai/threads/t/runs?api-version=1", body=b'{"assistant_id":"a"}'),
    "file": request(b"/openai/v1/files", body=b"..."),
    "video": request(b"/openai/v1/videos", body=b'{"model":"chat"}'),
    "put": request(b"/openai/deployments/chat/chat/completions", "PUT"),
}
INFERENCE = {"inference", "inference by v1", "embeddings"}
REPEATABLE = INFERENCE | {"get", "head", "delete"}
EVERY = set(REQUESTS)

CAME: dict[str, tuple[Make | object, set[str], str]] = {
    "429": (throttled(7), EVERY, "throttled"),
    "503 with Retry-After": (status(503, ERROR, ("Retry-After", "7")), EVERY, "throttled"),
    "in-stream rate limit": (stream(OPENING, IN_STREAM_LIMIT), EVERY, "throttled"),
    "connect": (failure(Blame.CONNECT), EVERY, "faulted"),
    "tls": (failure(Blame.TLS), EVERY, "faulted"),
    "token": (failure(Blame.TOKEN), EVERY, "faulted"),
    "500": (status(500, ERROR), REPEATABLE, "faulted"),
    "502": (status(502, ERROR), REPEATABLE, "faulted"),
    "503": (status(503, ERROR), REPEATABLE, "faulted"),
    "504": (status(504, ERROR), REPEATABLE, "faulted"),
    "408": (status(408, ERROR), REPEATABLE, "faulted"),
    "connection lost": (failure(Blame.LOST), REPEATABLE, "faulted"),
    "idle limit": (failure(Blame.SILENT), REPEATABLE, "faulted"),
    "not HTTP": (failure(Blame.MALFORMED), REPEATABLE, "faulted"),
    "cut before content": (stream(OPENING, BackendFailed(Blame.LOST, "cut")), REPEATABLE, "faulted"),
    "in-stream 5xx": (stream(OPENING, IN_STREAM_FAULT), INFERENCE, "faulted"),
    "401": (status(401, ERROR), EVERY, "misconfigured"),
    "403": (status(403, ERROR), EVERY, "misconfigured"),
    "DeploymentNotFound": (NO_DEPLOYMENT, EVERY, "misconfigured"),
    "400": (status(400, ERROR), set(), "relayed"),
    "404": (status(404, ERROR), set(), "relayed"),
    "409": (status(409, ERROR), set(), "relayed"),
    "422": (status(422, ERROR), set(), "relayed"),
    "431": (status(431, ERROR), set(), "relayed"),
    "400 with Retry-After": (status(400, ERROR, ("Retry-After", "7")), set(), "relayed"),
    "in-stream other error": (stream(OPENING, IN_STREAM_OTHER), set(), "relayed"),
}


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("came", CAME)
def test_every_cell_of_the_retry_table(came: str, kind: str) -> None:
    @in_virtual_time
    async def tell() -> None:
        make, goes_on_for, verdict = CAME[came]
        story = Story({"a": [make], "b": [ok(b"from b")]})
        client = await story.ask(REQUESTS[kind])
        assert story.verdicts[0] == ("a", verdict)
        if kind in goes_on_for:
            assert story.asked == ["a", "b"]
            assert (client.status, client.body) == (200, b"from b")
            assert client.headers[b"x-lb-backend"] == b"b"
            assert client.headers[b"x-lb-attempts"] == b"2"
            assert story.finished.outcome is Outcome.RELAYED
        else:
            assert story.asked == ["a"]
            assert client.headers[b"x-lb-attempts"] == b"1"
        story.at_rest()

    tell()


@pytest.mark.parametrize("came", [name for name, (_, goes_on, _) in CAME.items() if "batch" not in goes_on])
def test_what_may_not_be_repeated_is_relayed_unchanged_where_there_is_a_reply(came: str) -> None:
    @in_virtual_time
    async def tell() -> None:
        make = CAME[came][0]
        story = Story({"a": [make], "b": [ok()]})
        client = await story.ask(REQUESTS["batch"])
        made = make()  # type: ignore[operator]
        if isinstance(made, FakeReply) and came != "cut before content":
            expected = b"".join(piece for piece in made._pieces if isinstance(piece, bytes))
            assert (client.status, client.body) == (made.status, expected)
            assert client.headers[b"x-lb-backend"] == b"a"
            for name, value in made.headers:
                assert client.headers[name] == value
        else:
            assert client.status == (504 if came == "idle limit" else 502)
            assert b"x-lb-backend" not in client.headers
        story.at_rest()

    tell()


@pytest.mark.parametrize("kind", REQUESTS)
def test_the_transport_is_told_what_it_must_not_send_again_by_itself(kind: str) -> None:
    @in_virtual_time
    async def tell() -> None:
        asked = again(REQUESTS[kind])
        await Story({"a": [ok()]}).ask(asked)
        assert asked.once == (kind not in REPEATABLE)

    tell()


HEALTH = {"throttled": "cooling", "faulted": "available", "misconfigured": "misconfigured", "relayed": "available"}


@pytest.mark.parametrize("came", CAME)
def test_the_health_column_of_the_retry_table(came: str) -> None:
    @in_virtual_time
    async def tell() -> None:
        make, _, verdict = CAME[came]
        story = Story({"a": [make], "b": [ok()]})
        await story.ask()
        row = next(row for row in story.pool.snapshot(story.clock()) if row.backend.name == "a")
        assert row.state == HEALTH[verdict]
        assert row.strikes == (1 if verdict in ("faulted", "misconfigured") else 0)

    tell()


@pytest.mark.parametrize("come", [["429"], ["500"], ["429", "500"], ["401", "connect"], ["500", "503", "429"]])
def test_no_backend_is_asked_twice_for_one_request(come: list[str]) -> None:
    @in_virtual_time
    async def tell() -> None:
        scripts = {name: [CAME[came][0]] for name, came in zip("abc", come * 3, strict=False)}
        story = Story(scripts)
        await story.ask()
        assert sorted(story.asked) == ["a", "b", "c"]
        story.at_rest()

    tell()


@in_virtual_time
async def test_the_next_backend_is_asked_at_once() -> None:
    story = Story({"a": [throttled()], "b": [status(500)], "c": [ok()]})
    before = story.clock()
    await story.ask()
    assert story.clock() == before


@in_virtual_time
async def test_a_throttled_backend_is_not_asked_by_the_next_request() -> None:
    story = Story({"a": [throttled(7), ok(b"a again")], "b": [ok()]})
    await story.ask()
    await story.ask()
    assert story.asked == ["a", "b", "b"]
    story.clock.now += 7  # type: ignore[attr-defined]
    await story.ask()
    assert story.asked[-1] == "a"


@in_virtual_time
async def test_each_backend_gets_the_request_under_its_own_name_for_the_deployment() -> None:
    first, second = backends("a b")
    these = [replace(first, deployment_name="gpt-a"), replace(second, deployments={"chat": "gpt-b"})]
    story = Story({"a": [throttled()], "b": [ok()]}, these=these)
    await story.ask(request(b"/openai/v1/responses", body=b'{"input":"x", "model": "chat"}'))
    assert [sent.body for sent in story.transport.sent] == [
        b'{"input":"x", "model": "gpt-a"}',
        b'{"input":"x", "model": "gpt-b"}',
    ]
    await story.ask(request(CHAT))
    assert story.transport.sent[-1].target == CHAT.replace(b"/chat/chat", b"/gpt-b/chat", 1)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip", "nonsense"])
def test_a_404_packed_in_a_way_that_we_cannot_read_is_relayed(coding: str) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Story({"a": [status(404, b"\x1b\x00\xf8packed", ("Content-Encoding", coding))], "b": [ok()]})
        client = await story.ask()
        assert (client.status, client.body) == (404, b"\x1b\x00\xf8packed")
        assert story.finished.outcome is Outcome.RELAYED

    tell()
