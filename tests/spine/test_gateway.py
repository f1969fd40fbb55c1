"""The story of one request: what is refused before any backend is asked, and what is told about the rest."""

import json

import pytest
from fakes import CHAT, Story, backends, failure, ok, request, status, throttled
from virtual import in_virtual_time

from lb.events import Attempted, Cooled, Ejected, Finished, Judged, Outcome, Restored
from lb.exchange import Blame

MAPPED = backends("a b", deployments={"chat": "gpt", "embedding": "emb"})


def error(body: bytes) -> dict[str, str]:
    return json.loads(body)["error"]  # type: ignore[no-any-return]


@in_virtual_time
async def test_a_deployment_that_nobody_serves_is_a_404_that_lists_what_is_served() -> None:
    story = Story({"a": [ok()], "b": [ok()]}, these=MAPPED)
    client = await story.ask(request(b"/openai/deployments/gpt-9/chat/completions"))
    assert client.status == 404
    assert error(client.body)["code"] == "DeploymentNotFound"
    assert "`gpt-9`" in error(client.body)["message"]
    assert "chat, embedding" in error(client.body)["message"]
    assert story.asked == []
    assert (story.finished.outcome, story.finished.status) == (Outcome.REFUSED, 404)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (request(b"/openai/v1/responses", body=b'{"input":"x"}'), "no `model`"),
        (request(b"/openai/v1/responses", body=b"\x1f\x8b", content_encoding=b"gzip"), "compressed"),
        (request(b"/openai/v1/responses", body=b'{"model":"chat","model":"x"}'), "twice"),
        (request(b"/openai/v1/responses", body=b'{"mod\\u0065l":"chat"}'), "escapes"),
        (request(b"/openai/deployments/a%2Fb/chat/completions"), "characters"),
        (request(b"/openai%2Fdeployments/secret/chat/completions"), "differently"),
        (request(b"/openai/v1/threads/runs", body=b"\x1f\x8b", content_encoding=b"gzip"), "compressed"),
        (request(b"/openai/v1/assistants", body='{"model":"secret"}'.encode("utf-16")), "UTF-8"),
    ],
)
def test_what_cannot_be_routed_is_a_400_that_says_why(what: object, says: str) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Story({"a": [ok()], "b": [ok()]}, these=MAPPED)
        client = await story.ask(what)  # type: ignore[arg-type]
        assert client.status == 400
        assert says in error(client.body)["message"]
        assert story.asked == []
        assert client.headers[b"x-lb-attempts"] == b"0"

    tell()


@in_virtual_time
async def test_without_names_of_their_own_the_backends_judge_a_missing_model() -> None:
    story = Story({"a": [status(400, b"model is required")]})
    client = await story.ask(request(b"/openai/v1/responses", body=b"{}"))
    assert (client.status, client.body) == (400, b"model is required")


@pytest.mark.parametrize(
    ("scripts", "outcome", "attempts", "backend"),
    [
        ({"a": [ok()]}, Outcome.RELAYED, 1, "a"),
        ({"a": [throttled()], "b": [ok()]}, Outcome.RELAYED, 2, "b"),
        ({"a": [throttled()]}, Outcome.EXHAUSTED, 1, None),
        ({"a": [failure(Blame.CONNECT)], "b": [failure(Blame.TLS)]}, Outcome.EXHAUSTED, 2, None),
        ({"a": [status(500)], "b": [status(500)]}, Outcome.RELAYED, 2, "b"),
    ],
)
def test_how_a_request_ended_is_told_exactly_once(
    scripts: dict[str, list[object]], outcome: Outcome, attempts: int, backend: str | None
) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Story(scripts)  # type: ignore[arg-type]
        client = await story.ask()
        told = story.finished
        assert (told.outcome, told.attempts, told.backend) == (outcome, attempts, backend)
        assert (told.request_id, told.method, told.deployment, told.status) == ("r-1", "POST", "chat", client.status)
        assert story.facts[-1] is told

    tell()


@in_virtual_time
async def test_facts_are_told_in_the_order_in_which_they_happened() -> None:
    story = Story({"a": [throttled(7)], "b": [ok()]})
    await story.ask()
    assert [type(fact) for fact in story.facts] == [Attempted, Judged, Cooled, Attempted, Judged, Finished]
    story.clock.now += 8  # type: ignore[attr-defined]
    await story.ask()
    assert isinstance(story.facts[6], Restored)


@in_virtual_time
async def test_an_attempt_tells_target_number_and_what_came_of_it() -> None:
    story = Story({"a": [throttled(7)], "b": [failure(Blame.LOST, "reset")], "c": [ok()]})
    await story.ask()
    assert [(fact.number, fact.target, fact.request_id) for fact in story.told(Attempted)] == [
        (number, CHAT, "r-1") for number in (1, 2, 3)
    ]
    assert [(fact.number, fact.status, fact.verdict, fact.detail) for fact in story.told(Judged)] == [
        (1, 429, "throttled", "HTTP 429"),
        (2, None, "faulted", "reset"),
        (3, 200, "relayed", ""),
    ]


@in_virtual_time
async def test_replies_explain_themselves() -> None:
    client = await Story({"a": [throttled()], "b": [ok()]}).ask()
    assert {name: value for name, value in client.headers.items() if name.startswith(b"x-lb")} == {
        b"x-lb-backend": b"b",
        b"x-lb-attempts": b"2",
        b"x-lb-request-id": b"r-1",
    }


@pytest.mark.parametrize("scripts", [{"a": [ok()]}, {"a": [throttled()]}])
def test_replies_do_not_explain_themselves_when_that_is_switched_off(scripts: dict[str, list[object]]) -> None:
    @in_virtual_time
    async def tell() -> None:
        client = await Story(scripts, explain=False).ask()  # type: ignore[arg-type]
        assert not [name for name in client.headers if name.startswith(b"x-lb")]

    tell()


@in_virtual_time
async def test_a_refused_connection_is_told_as_an_ejection_of_the_whole_backend() -> None:
    story = Story({"a": [failure(Blame.CONNECT, "refused")], "b": [ok()]})
    for _ in range(5):
        await story.ask()
    (fact,) = story.told(Ejected)
    assert (fact.backend.name, fact.deployment, fact.whole, fact.reason) == ("a", None, True, "refused")
    assert story.asked.count("a") == 3
