"""What the client is told when no backend's answer is worth relaying."""

import json

import pytest
from fakes import FakeClient, Story, failure, ok, request, status, stream, throttled
from virtual import in_virtual_time

from lb.events import Exhausted, Outcome
from lb.exchange import Blame
from lb.spine.conclusion import all_throttled


def error(client: FakeClient) -> dict[str, str]:
    found = json.loads(client.body)["error"]
    assert set(found) == {"code", "message"}
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("seconds", "whole", "milliseconds"),
    [(7.0, 7, 7000), (6.2, 7, 6200), (0.1, 1, 100), (0.0, 1, 1), (0.0001, 1, 1), (59.9999, 60, 60000),
     (120.0, 120, 120000), (1007.3 - 1000.3, 7, 7000), (7.0000000000001, 7, 7000)],
)  # fmt: skip
def test_the_wait_stands_in_both_headers_in_whole_seconds_and_in_milliseconds(
    seconds: float, whole: int, milliseconds: int
) -> None:
    assert dict(all_throttled(seconds).headers) == {
        b"retry-after": str(whole).encode(),
        b"retry-after-ms": str(milliseconds).encode(),
    }


@in_virtual_time
async def test_when_all_are_throttled_the_client_gets_429_with_the_soonest_return() -> None:
    story = Story({"a": [throttled(20)], "b": [throttled(7)], "c": [throttled(30)]})
    client = await story.ask()
    assert client.status == 429
    assert client.headers[b"retry-after"] == b"7"
    assert client.headers[b"retry-after-ms"] == b"7000"
    assert client.headers[b"content-type"] == b"application/json"
    assert error(client)["code"] == "429"
    assert "7 seconds" in error(client)["message"]
    assert story.waits == [7.0]
    assert story.finished.outcome is Outcome.EXHAUSTED
    assert (story.finished.status, story.finished.attempts, story.finished.backend) == (429, 3, None)
    story.at_rest()


@in_virtual_time
async def test_while_all_are_throttled_nobody_is_asked() -> None:
    story = Story({"a": [throttled(20)], "b": [throttled(7)]})
    await story.ask()
    story.clock.now += 2.5  # type: ignore[attr-defined]
    client = await story.ask()
    assert story.asked == ["a", "b"]
    assert (client.headers[b"retry-after"], client.headers[b"retry-after-ms"]) == (b"5", b"4500")
    assert client.headers[b"x-lb-attempts"] == b"0"


@in_virtual_time
async def test_a_day_asked_for_is_not_passed_on() -> None:
    client = await Story({"a": [throttled(86400)]}).ask()
    assert client.headers[b"retry-after"] == b"120"


@in_virtual_time
async def test_streams_that_are_throttled_in_band_end_in_a_real_429() -> None:
    limit = b'data: {"error":{"code":"429","message":"exceeded token rate limit"}}\n\n'
    client = await Story({"a": [stream(limit, headers=[("Retry-After", "9")])], "b": [stream(limit)]}).ask()
    assert client.status == 429
    assert client.headers[b"retry-after"] == b"9"


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_some_throttled_and_the_rest_faulted_is_a_429(order: tuple[str, str]) -> None:
    @in_virtual_time
    async def tell() -> None:
        scripts = {"a": [throttled(7)], "b": [status(500, b"oh")]}
        story = Story({name: scripts[name] for name in order})
        client = await story.ask()
        assert (client.status, client.headers[b"retry-after"]) == (429, b"7")
        assert b"x-lb-backend" not in client.headers
        assert story.asked == list(order)
        story.at_rest()

    tell()


@in_virtual_time
async def test_throttled_and_misconfigured_is_a_429_for_the_throttled_one() -> None:
    client = await Story({"a": [status(401)], "b": [throttled(30)]}).ask()
    assert (client.status, client.headers[b"retry-after"]) == (429, b"30")


@in_virtual_time
async def test_throttling_of_another_deployment_does_not_make_a_fault_a_429() -> None:
    story = Story({"a": [throttled(7), status(500, b"oh")], "b": [ok(), status(503, b"later")]})
    await story.ask(request(b"/openai/deployments/embedding/embeddings"))
    client = await story.ask()
    assert (client.status, client.body) == (503, b"later")


@in_virtual_time
async def test_throttling_of_an_hour_ago_does_not_make_a_fault_a_429() -> None:
    story = Story({"a": [throttled(7), status(500, b"oh")], "b": [ok(), status(503, b"later")]})
    await story.ask()
    story.clock.now += 3600  # type: ignore[attr-defined]
    client = await story.ask()
    assert (client.status, client.body) == (503, b"later")
    assert not story.told(Exhausted)


@in_virtual_time
async def test_when_all_faulted_the_last_real_reply_is_relayed_unchanged() -> None:
    last = status(503, b"\x00 not even json", ("apim-request-id", "7"), ("Content-Type", "text/odd"))
    story = Story({"a": [status(500, b"first")], "b": [last], "c": [failure(Blame.LOST)]})
    client = await story.ask()
    assert story.asked == ["a", "b", "c"]
    assert (client.status, client.body) == (503, b"\x00 not even json")
    assert client.headers[b"apim-request-id"] == b"7"
    assert client.headers[b"x-lb-backend"] == b"b"
    assert client.headers[b"x-lb-attempts"] == b"3"
    assert (story.finished.outcome, story.finished.backend) == (Outcome.RELAYED, "b")
    story.at_rest()


@in_virtual_time
async def test_a_kept_stream_that_failed_in_band_is_relayed_byte_for_byte() -> None:
    pieces = [
        b'data: {"choices":[]}\r\n\r',
        b'\ndata: {"error":{"code":"server_error"}}\n\n',
        b": more\n\n",
        b"data: [DONE]\n\n",
    ]
    story = Story({"a": [stream(*pieces)], "b": [failure(Blame.CONNECT)]})
    client = await story.ask()
    assert (client.status, client.body) == (200, b"".join(pieces))


@pytest.mark.parametrize(
    ("blames", "status_code"),
    [
        ([Blame.CONNECT, Blame.CONNECT], 502),
        ([Blame.TLS, Blame.TOKEN], 502),
        ([Blame.LOST, Blame.MALFORMED], 502),
        ([Blame.SILENT, Blame.SILENT], 504),
        ([Blame.SILENT, Blame.CONNECT], 504),
    ],
)
def test_without_any_reply_the_client_is_told_who_was_tried_and_why_each_failed(
    blames: list[Blame], status_code: int
) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Story({name: [failure(blame, f"why {name}")] for name, blame in zip("ab", blames, strict=True)})
        client = await story.ask()
        assert client.status == status_code
        assert "a: why a; b: why b" in error(client)["message"]
        assert b"retry-after" not in client.headers
        assert b"s3cret" not in client.body
        assert story.finished.outcome is Outcome.EXHAUSTED
        story.at_rest()

    tell()


@pytest.mark.parametrize("code", [401, 403])
def test_from_every_backend_a_refused_credential_is_a_502_that_says_misconfigured(code: int) -> None:
    @in_virtual_time
    async def tell() -> None:
        denied = status(code, b'{"error":{"message":"key s3cret is wrong"}}', ("WWW-Authenticate", "Bearer"))
        story = Story({"a": [denied], "b": [denied]})
        for _ in range(3):
            client = await story.ask()
            assert client.status == 502
            assert "misconfigured" in error(client)["message"]
            assert b"s3cret" not in client.body
            assert b"www-authenticate" not in {name.lower() for name in client.headers}
            assert b"retry-after" not in client.headers
        story.at_rest()

    tell()


@in_virtual_time
async def test_a_deployment_that_is_missing_everywhere_is_a_502_that_says_misconfigured() -> None:
    gone = status(404, b'{"error":{"code":"DeploymentNotFound"}}')
    client = await Story({"a": [gone], "b": [gone]}).ask()
    assert client.status == 502
    assert "misconfigured" in error(client)["message"]


@in_virtual_time
async def test_a_misconfigured_backend_is_out_for_that_deployment_until_it_answers_a_probe() -> None:
    story = Story({"a": [status(401), status(401), ok(b"a")], "b": [ok(b"b")]})
    await story.ask()
    await story.ask()
    assert story.asked == ["a", "b", "b"]
    story.clock.now += 10  # type: ignore[attr-defined]
    assert (await story.ask()).body == b"b"
    story.clock.now += 20  # type: ignore[attr-defined]
    assert (await story.ask()).body == b"a"
    assert (await story.ask()).body == b"a"


@in_virtual_time
async def test_a_wait_too_short_to_last_is_still_an_honest_429() -> None:
    story = Story({"a": [throttled(0.1)], "b": [failure(Blame.CONNECT)]})
    script = story.transport.scripts["b"]

    def later() -> object:
        story.clock.now += 1  # type: ignore[attr-defined]
        return failure(Blame.CONNECT)()

    script[0] = later
    client = await story.ask()
    assert (client.status, client.headers[b"retry-after"]) == (429, b"1")
