"""What a client is told while operators have backends out."""

import json

from fakes import Story, failure, status, throttled
from virtual import in_virtual_time

from lb.events import Outcome
from lb.exchange import Blame


@in_virtual_time
async def test_with_every_backend_taken_out_the_client_gets_503_that_says_so() -> None:
    story = Story({"a": [], "b": []})
    for name in "ab":
        story.pool.switch(story.clock(), name, "ada", out=True)
    client = await story.ask()
    assert client.status == 503
    assert json.loads(client.body)["error"] == {
        "code": "BackendsTakenOut",
        "message": "No backend could be asked: operators have taken out a, b.",
    }
    assert b"retry-after" not in client.headers
    assert (story.finished.outcome, story.finished.attempts) == (Outcome.EXHAUSTED, 0)


@in_virtual_time
async def test_who_is_taken_out_is_named_beside_those_that_failed() -> None:
    story = Story({"a": [failure(Blame.CONNECT)], "b": []})
    story.pool.switch(story.clock(), "b", "ada", out=True)
    client = await story.ask()
    assert client.status == 502
    assert "b: taken out" in json.loads(client.body)["error"]["message"]


@in_virtual_time
async def test_the_return_of_a_backend_that_is_out_is_promised_to_nobody() -> None:
    story = Story({"a": [throttled(7)], "b": [throttled(30), status(200)]})
    await story.ask()
    story.pool.switch(story.clock(), "a", "ada", out=True)
    client = await story.ask()
    assert client.headers[b"retry-after"] == b"30"
