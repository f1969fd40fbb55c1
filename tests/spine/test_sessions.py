"""A WebSocket at the gateway: where it goes, what it costs while it runs, and that it counts as one request."""

import asyncio
import json

import pytest
from fakes import FakeReply, Piece, Story, backends, request, status, throttled
from virtual import in_virtual_time

from lb.balancing.backend import Backend
from lb.events import Attempted, Finished, Outcome, OverQuota
from lb.exchange import Handshake, Request
from lb.metering.quota import Quota
from lb.metering.tenant import Limits, Source, Tenant, Tenants
from lb.metering.usage import UNKNOWN, Usage
from lb.spine.admission import Admission
from lb.spine.watching import watch_cost

GA = b"/openai/v1/realtime?model=voice"
PREVIEW = b"/openai/realtime?api-version=2025-04-01-preview&deployment=voice"
CREATED = b'{"type":"response.created","response":{"usage":null}}'
DONE = b'{"type":"response.done","response":{"usage":{"input_tokens":30,"output_tokens":10,"total_tokens":40}}}'


def frame(payload: bytes) -> bytes:
    return bytes((0x81, len(payload))) + payload


def session(*pieces: Piece) -> FakeReply:
    return FakeReply(101, [("Upgrade", "websocket")], pieces)


def opening(target: bytes = GA, **more: object) -> Request:
    return request(target, "GET", b"", content_type=b"", sized=False, handshake=Handshake(b"x"), **more)


class Watched(Story):
    """A story in which sessions are watched, with a tenant who has a budget."""

    def __init__(self, scripts: dict[str, list[object]], **limits: int) -> None:
        super().__init__(scripts)  # type: ignore[arg-type]
        self.gateway.watches = [watch_cost]
        self.quota = Quota(())
        self.gateway.admission = Admission(self.quota, self.clock, self.facts.append)
        tenant = Tenant("ada", Limits(**limits), deployments=frozenset({"voice"}))
        known = Tenants([tenant], sources=(Source.CALLER,))
        self.gateway.admission.replace(known, b"x-tenant", b"tenant", self.pool.backends)

    def used(self, name: str) -> int:
        return next(each.used for each in self.quota.standings(self.clock(), "ada") if each.name == name)


@pytest.mark.parametrize("target", [GA, PREVIEW])
@pytest.mark.parametrize("refusal", [throttled(), status(503), status(500)])
async def test_a_handshake_that_is_refused_goes_to_the_next_backend(target: bytes, refusal: object) -> None:
    story = Story({"a": [refusal], "b": [lambda: session()]})
    client = await story.ask(opening(target))
    assert (client.status, story.asked) == (101, ["a", "b"])
    assert (story.finished.outcome, story.finished.deployment) == (Outcome.RELAYED, "voice")
    story.at_rest()


async def test_each_backend_is_asked_for_the_deployment_as_it_calls_it() -> None:
    these = [
        Backend("a", "https://a", priority=1, api_key="k", deployments={"voice": "one"}),
        Backend("b", "https://b", priority=2, api_key="k", deployment_name="two"),
    ]
    story = Story({"a": [throttled()], "b": [lambda: session()]}, these=these)
    await story.ask(opening(PREVIEW))
    assert [sent.target.rpartition(b"=")[2] for sent in story.transport.sent] == [b"one", b"two"]
    assert [fact.deployment for fact in story.told(Attempted)] == ["one", "two"]


async def test_a_handshake_without_a_name_is_refused_where_names_differ() -> None:
    story = Story({"a": [lambda: session()]}, these=backends("a", deployment_name="one"))
    client = await story.ask(opening(b"/openai/v1/responses"))
    assert client.status == 400
    assert "`model`" in json.loads(client.body)["error"]["message"]


async def test_a_handshake_without_a_name_passes_where_names_are_the_same() -> None:
    story = Story({"a": [lambda: session()]})
    assert (await story.ask(opening(b"/openai/v1/responses"))).status == 101


async def test_a_session_counts_against_the_budget_while_it_runs() -> None:
    there, over = asyncio.Event(), asyncio.Event()
    story = Watched({"a": [lambda: session(frame(CREATED) + frame(DONE), there, frame(DONE), over)]},
                    tokens_per_minute=1000, requests_per_minute=5, max_concurrent=1)  # fmt: skip
    running = asyncio.ensure_future(story.ask(opening(caller="ada")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert story.used("tokens_per_minute") == 41
    refused = await story.ask(opening(caller="ada"))
    assert (refused.status, refused.headers[b"x-lb-limit"]) == (429, b"max_concurrent")
    there.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert story.used("tokens_per_minute") == 81
    over.set()
    await running
    assert (story.used("tokens_per_minute"), story.used("max_concurrent")) == (80, 0)
    told = [fact for fact in story.told(Finished) if fact.outcome is Outcome.RELAYED]
    assert [(fact.usage, fact.call, fact.tenant) for fact in told] == [(Usage(60, 20, 80), "realtime", "ada")]


async def test_none_begins_on_a_budget_that_is_used_up() -> None:
    story = Watched({"a": [lambda: session(frame(DONE))]}, tokens_per_minute=40)
    assert (await story.ask(opening(caller="ada"))).status == 101
    assert (await story.ask(opening(caller="ada"))).status == 429
    assert [fact.limit for fact in story.told(OverQuota)] == ["tokens_per_minute"]


async def test_a_handshake_that_no_backend_takes_costs_nothing() -> None:
    story = Watched({"a": [throttled()]}, tokens_per_minute=40, requests_per_minute=5)
    assert (await story.ask(opening(caller="ada"))).status == 429
    assert (story.used("tokens_per_minute"), story.used("requests_per_minute")) == (0, 0)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/openai/v1/realtime?model=other", 403),
        (b"/openai/v1/realtime", 400),
        (b"/openai/v1/responses", 403),
        (b"/openai/v1/responses?model=voice", 403),
    ],
)
async def test_a_tenant_gets_no_socket_to_a_deployment_that_is_not_allowed(target: bytes, status: int) -> None:
    story = Watched({"a": [lambda: session()]})
    assert (await story.ask(opening(target, caller="ada"))).status == status
    assert not story.transport.sent


async def test_a_session_that_is_cut_within_a_response_is_an_unknown_cost() -> None:
    story = Watched({"a": [lambda: session(frame(CREATED), frame(b"{}"))]}, tokens_per_minute=40)
    await story.ask(opening(caller="ada"))
    assert story.finished.usage == UNKNOWN
    assert story.used("tokens_per_minute") == 1


@in_virtual_time
async def test_a_silent_backend_is_left_for_another_one() -> None:
    story = Story({"a": [asyncio.Event().wait], "b": [lambda: session()]}, first_event=2)
    assert (await story.ask(opening())).status == 101
    assert story.asked == ["a", "b"]
