"""Tenants at the gateway: who is let in, what a refusal says, and what a request has cost when it has ended."""

import json
from collections.abc import Sequence

import pytest
from fakes import CHAT, FakeClient, FakeStream, Story, backends, failure, ok, request, status, stream, throttled
from virtual import in_virtual_time

from lb.balancing.backend import Backend
from lb.events import Finished, Outcome, OverQuota
from lb.exchange import Blame, Request
from lb.metering.quota import Quota
from lb.metering.tenant import Limits, Source, Tenant, Tenants
from lb.spine.admission import Admission

ALL = (Source.CALLER, Source.HEADER, Source.QUERY)
SAID = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
EMBEDDINGS = b"/openai/deployments/emb/embeddings?api-version=2024-10-21"


class Let(Story):
    """A gateway with tenants."""

    def __init__(
        self,
        *tenants: Tenant,
        scripts: dict[str, Sequence[object]] | None = None,
        sources: Sequence[Source] = (Source.CALLER,),
        these: Sequence[Backend] | None = None,
        **more: object,
    ) -> None:
        super().__init__(scripts or {"a": [ok()], "b": [ok()]}, these=these)
        self.quota = Quota(())
        self.gateway.admission = Admission(self.quota, self.clock, self.facts.append)
        known = Tenants(tenants, sources=sources, **more)  # type: ignore[arg-type]
        self.gateway.admission.replace(known, b"x-tenant", b"tenant", self.pool.backends)

    def used(self, name: str = "tokens_per_minute") -> int:
        return next(each.used for each in self.quota.standings(self.clock(), "ada") if each.name == name)


def from_ada(**more: object) -> Request:
    return request(caller="Ada", **more)  # type: ignore[arg-type]


def error(client: FakeClient) -> dict[str, str]:
    return json.loads(client.body)["error"]  # type: ignore[no-any-return]


@in_virtual_time
async def test_a_request_within_the_budget_passes_and_says_whose_it_was() -> None:
    story = Let(Tenant("ada", Limits(tokens_per_minute=1000)))
    client = await story.ask(from_ada())
    assert client.status == 200
    assert story.finished.tenant == "ada"
    story.at_rest()


@in_virtual_time
async def test_a_tenant_cannot_slip_another_model_into_a_body_too_large_to_keep() -> None:
    """The backends serve every name, so only the tenant's list stands in the way."""
    story = Let(Tenant("ada", deployments=frozenset({"chat"})), Tenant("bob"))
    parts = b'{"model":"chat","input":"', b'","model":"secret"}'
    body = FakeStream(parts[0], parts[1:], sum(map(len, parts)))
    client = await story.ask(from_ada(target=b"/openai/v1/responses", body=body))
    assert client.status == 400
    assert story.transport.sent == []
    free = FakeStream(parts[0], parts[1:], sum(map(len, parts)))
    client = await story.ask(request(caller="bob", target=b"/openai/v1/responses", body=free))
    assert client.status == 200
    story.at_rest()


@in_virtual_time
async def test_a_used_up_budget_is_a_429_that_tells_the_exact_wait_and_the_tenants_own_limits() -> None:
    story = Let(Tenant("ada", Limits(tokens_per_minute=300, requests_per_minute=10)))
    await story.ask(from_ada(body=b'{"max_tokens":290}'))
    story.clock.now += 20.0  # type: ignore[attr-defined]
    client = await story.ask(from_ada(body=b'{"max_tokens":290}'))
    assert client.status == 429
    assert error(client) == {
        "code": "TenantQuotaExceeded",
        "message": "Tenant `ada` has used up its budget of 300 tokens per minute. Please retry after 41 seconds.",
    }
    told = {name.decode(): value.decode() for name, value in client.headers.items()}
    assert (told["retry-after"], told["retry-after-ms"]) == ("41", "40250")
    assert {name: value for name, value in told.items() if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit-tokens": "300",
        "x-ratelimit-remaining-tokens": "6",
        "x-ratelimit-reset-tokens": "41",
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "41",
    }
    assert told["x-lb-limit"] == "tokens_per_minute"
    assert story.transport.asked == ["a"]
    ended = story.told(Finished)[-1]
    assert (ended.outcome, ended.status, ended.tenant) == (Outcome.REFUSED, 429, "ada")
    assert story.told(OverQuota) == [OverQuota("r-1", "ada", "chat", "tokens_per_minute", 40.25)]
    story.clock.now += 40.25  # type: ignore[attr-defined]
    assert (await story.ask(from_ada(body=b'{"max_tokens":290}'))).status == 200


@in_virtual_time
async def test_a_backends_429_is_told_apart_from_a_tenants() -> None:
    story = Let(Tenant("ada", Limits(tokens_per_minute=300)), scripts={"a": [throttled()]})
    client = await story.ask(from_ada())
    assert (client.status, error(client)["code"]) == (429, "429")
    assert b"x-lb-limit" not in client.headers
    assert story.finished.outcome is Outcome.EXHAUSTED


@in_virtual_time
async def test_a_prompt_larger_than_the_budget_is_a_400_without_a_wait() -> None:
    story = Let(Tenant("ada", Limits(tokens_per_minute=10)))
    client = await story.ask(from_ada(body=b"x" * 400))
    assert (client.status, error(client)["code"]) == (400, "RequestExceedsQuota")
    assert not any(name.startswith(b"retry-after") for name in client.headers)


@pytest.mark.parametrize(
    ("scripts", "left"),
    [
        ({"a": [throttled()]}, (0, 0)),  # nobody took it
        ({"a": [failure(Blame.CONNECT)]}, (0, 0)),
        ({"a": [status(400, b"bad prompt")]}, (0, 1)),  # refused by the backend: no tokens
        ({"a": [ok()]}, (300, 1)),  # nobody watched what it cost
        ({"a": [stream(SAID, failure(Blame.LOST)())]}, (300, 1)),
    ],
)
def test_what_is_left_of_a_reservation_when_the_request_has_ended(
    scripts: dict[str, Sequence[object]], left: tuple[int, int]
) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Let(
            Tenant("ada", Limits(tokens_per_minute=300, requests_per_minute=5, max_concurrent=1)), scripts=scripts
        )
        await story.ask(from_ada(body=b'{"max_tokens":1000}'))
        assert (story.used(), story.used("requests_per_minute")) == left
        assert story.used("max_concurrent") == 0

    tell()


@in_virtual_time
async def test_embeddings_are_reckoned_by_their_input_alone_and_what_is_no_inference_costs_no_tokens() -> None:
    story = Let(Tenant("ada", Limits(tokens_per_minute=1000)))
    await story.ask(from_ada(target=EMBEDDINGS, body=b"x" * 40))
    assert story.used() == 10
    await story.ask(from_ada(target=b"/openai/files", body=b"x" * 4000))
    await story.ask(from_ada(target=b"/openai/v1/models", method="GET", body=b""))
    assert story.used() == 10


@pytest.mark.parametrize(
    ("who", "code", "says"),
    [
        (request(), 400, "does not say whose it is: a credential of a tenant"),
        (request(caller="eve"), 401, "nobody who is known here"),
        (request(headers=((b"X-Tenant", b"ada"),)), 400, "does not say"),  # nobody said that it may be trusted
        (request(CHAT + b"&tenant=ada"), 400, "does not say"),
    ],
)
def test_who_is_no_tenant_is_not_let_in(who: Request, code: int, says: str) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Let(Tenant("ada"))
        client = await story.ask(who)
        assert client.status == code
        assert says in error(client)["message"]
        assert story.transport.asked == []
        assert story.finished.outcome is Outcome.REFUSED

    tell()


@pytest.mark.parametrize(
    ("target", "goes_on_as"),
    [
        (CHAT + b"&tenant=Ada", CHAT),
        (CHAT.replace(b"?", b"?tenant=ada&"), CHAT),
        (CHAT.replace(b"?", b"?%74enant=ada&x=%2b&"), CHAT.replace(b"?", b"?x=%2b&")),
        (CHAT.partition(b"?")[0] + b"?tenant=ada", CHAT.partition(b"?")[0]),
        (CHAT + b"&tenant=ada&TENANT=ada", CHAT),
    ],
)
def test_the_hint_in_the_query_goes_no_further(target: bytes, goes_on_as: bytes) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = Let(Tenant("ada"), sources=ALL)
        assert (await story.ask(request(target))).status == 200
        assert story.finished.tenant == "ada"
        assert story.transport.sent[0].target == goes_on_as

    tell()


@in_virtual_time
async def test_the_hint_in_the_header_counts_where_it_is_trusted() -> None:
    story = Let(Tenant("ada"), sources=ALL)
    assert (await story.ask(request(headers=((b"x-tenant", b"ADA"),)))).status == 200
    assert story.finished.tenant == "ada"


@pytest.mark.parametrize("hint", [b"ada&tenant=bob", b"a%20b", b"%C3%A4", b"a" * 65])
def test_a_hint_that_two_readers_could_read_differently_is_refused(hint: bytes) -> None:
    @in_virtual_time
    async def tell() -> None:
        client = await Let(Tenant("ada"), Tenant("bob"), sources=ALL).ask(request(CHAT + b"&tenant=" + hint))
        assert client.status == 400

    tell()


@in_virtual_time
async def test_without_tenants_by_name_every_name_is_a_label_and_none_is_needed() -> None:
    story = Let(sources=ALL)
    assert (await story.ask(request(CHAT + b"&tenant=Eve"))).status == 200
    assert (await story.ask(request())).status == 200
    assert [fact.tenant for fact in story.told(Finished)] == ["eve", None]


@in_virtual_time
async def test_a_deployment_that_is_not_open_to_the_tenant_is_a_403() -> None:
    story = Let(Tenant("ada", deployments=frozenset({"emb"})))
    client = await story.ask(from_ada())
    assert (client.status, error(client)["message"]) == (
        403,
        "`ada` may not call the deployment `chat`. Allowed are: emb.",
    )
    assert (await story.ask(from_ada(target=EMBEDDINGS))).status == 200


@in_virtual_time
async def test_a_deployment_cannot_be_hidden_from_the_list_of_open_ones() -> None:
    story = Let(Tenant("ada", deployments=frozenset({"emb"})))
    packed = from_ada(target=b"/openai/v1/chat/completions", body=b"\x1f\x8b", content_encoding=b"gzip")
    assert (await story.ask(packed)).status == 400
    assert (await story.ask(from_ada(target=b"/openai/v1/chat/completions", body=b'{"model":"chat"}'))).status == 403
    assert (await story.ask(from_ada(target=b"/openai/v1/models", method="GET", body=b""))).status == 200


def own(*, pinned: bool) -> Tenant:
    return Tenant("ada", backends=frozenset({"b"}), pinned=pinned)


@in_virtual_time
async def test_a_pinned_tenant_is_served_by_its_own_backends_alone() -> None:
    story = Let(own(pinned=True), scripts={"a": [ok()], "b": [ok(), throttled(7)]})
    await story.ask(from_ada())
    client = await story.ask(from_ada())
    assert story.asked == ["b", "b"]
    assert (client.status, client.headers[b"retry-after"]) == (429, b"7")


@in_virtual_time
async def test_a_pinned_tenant_is_told_its_own_backends_return_and_not_a_strangers() -> None:
    story = Let(own(pinned=True), scripts={"a": [throttled(3)], "b": [throttled(9)]})
    story.gateway.admission, kept = None, story.gateway.admission
    await story.ask()  # of nobody: a is throttled, b too
    story.gateway.admission = kept
    assert (await story.ask(from_ada())).headers[b"retry-after"] == b"9"


@in_virtual_time
async def test_own_backends_are_preferred_whatever_their_priority_and_strangers_help_out() -> None:
    story = Let(own(pinned=False), scripts={"a": [ok()], "b": [ok(), throttled(7)]})
    await story.ask(from_ada())
    client = await story.ask(from_ada())
    await story.ask(from_ada())
    assert client.status == 200
    assert story.asked == ["b", "b", "a", "a"]


@in_virtual_time
async def test_a_strangers_health_is_better_than_an_ejected_backend_of_ones_own() -> None:
    story = Let(own(pinned=False), scripts={"a": [ok()], "b": [failure(Blame.CONNECT)]})
    for _ in range(5):
        await story.ask(from_ada())
    assert story.asked.count("b") == 3
    assert {fact.status for fact in story.told(Finished)} == {200}


@in_virtual_time
async def test_a_pinned_tenant_is_told_when_none_of_its_backends_has_the_deployment() -> None:
    these = [backends("a b")[0], Backend("b", "https://b.example", deployments={"emb": "emb"})]
    story = Let(own(pinned=True), these=these)
    client = await story.ask(from_ada())
    assert (client.status, error(client)["code"]) == (404, "DeploymentNotFound")
