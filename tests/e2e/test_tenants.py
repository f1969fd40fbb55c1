"""Tenants as a user sees them: the official SDK, the real command, one process and several."""

import asyncio

import openai
import pytest
from asks import ask, client
from balancer import PATIENCE, Balancer, backends

from lb.sim import Simulator

SAID = [{"role": "user", "content": "hello"}]
TENANTS = """
tenants:
  - name: ada
    requests_per_minute: 20
  - name: bob
    callers: [bobs-app]
    deployments: [chat]
"""


@pytest.mark.parametrize("workers", ["1", "3"])
async def test_a_used_up_budget_stops_its_tenant_and_nobody_else(three: list[Simulator], workers: str) -> None:
    settings = {"LB_CLIENT_KEYS": "ada:key-a,bobs-app:key-b", "LB_CONFIG_INLINE": TENANTS, "LB_WORKERS": workers}
    async with Balancer(**backends(*three, **settings)) as balancer:
        async with client(balancer, "key-a") as ada, client(balancer, "key-b") as bob:
            adas, bobs = await asyncio.gather(
                asyncio.gather(*[ask(ada) for _ in range(40)]), asyncio.gather(*[ask(bob) for _ in range(40)])
            )
            assert sorted(adas) == [200] * 20 + [429] * 20
            assert set(bobs) == {200}
            with pytest.raises(openai.RateLimitError) as refused:
                await ada.chat.completions.create(model="chat", messages=SAID)  # type: ignore[call-overload]
            with pytest.raises(openai.PermissionDeniedError):
                await bob.embeddings.create(model="embedding", input="hello")
        fields = refused.value.response.headers
        assert refused.value.code == "TenantQuotaExceeded"
        assert 50_000 < int(fields["retry-after-ms"]) <= 60_250
        assert (fields["x-ratelimit-limit-requests"], fields["x-ratelimit-remaining-requests"]) == ("20", "0")
        labels = '{deployment="all",limit="requests_per_minute",tenant_name="ada"}'
        async with asyncio.timeout(PATIENCE):  # of a worker that is busy the operator listener shows what it last said
            while f"lb_quota_used{labels} 20.0" not in (shown := await balancer.metrics()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert f"lb_quota_limit{labels} 20.0" in shown
        assert "lb_waiting_requests 0.0" in shown
        line = await balancer.line(lambda line: line["event"] == "A tenant's quota is used up")
        assert (line["tenant"], line["limit"]) == ("ada", "requests_per_minute")


async def test_the_query_names_a_tenant_where_that_is_trusted_and_goes_no_further(three: list[Simulator]) -> None:
    settings = {"LB_CONFIG_INLINE": TENANTS.replace("    callers: [bobs-app]\n", ""), "LB_TENANT_FROM": "query"}
    async with Balancer(**backends(*three, **settings)) as balancer, client(balancer, "any") as sdk:
        named = sdk.with_options(default_query={"tenant": "Bob"})
        await named.chat.completions.create(model="chat", messages=SAID)  # type: ignore[call-overload]
        with pytest.raises(openai.BadRequestError) as missing:
            await sdk.chat.completions.create(model="chat", messages=SAID)  # type: ignore[call-overload]
        assert missing.value.code == "TenantMissing"
        with pytest.raises(openai.AuthenticationError):
            await sdk.with_options(default_query={"tenant": "eve"}).models.list()
        sent = await balancer.line(lambda line: line["event"].startswith("Proxying to"))
        assert sent["event"].endswith("/chat/completions?api-version=2025-04-01-preview")


async def test_a_reservation_is_settled_with_what_the_backends_told(three: list[Simulator]) -> None:
    """Of `max_tokens` a fraction is used: what is left of the budget is what the endpoints' own books leave of it."""
    tenants = "tenants: [{name: ada, tokens_per_minute: 3000}]"
    settings = {"LB_CLIENT_KEYS": "ada:key-a", "LB_CONFIG_INLINE": tenants}
    async with Balancer(**backends(*three, **settings)) as balancer, client(balancer, "key-a") as sdk:
        for _ in range(5):
            await sdk.chat.completions.create(model="chat", messages=SAID, max_tokens=1000)  # type: ignore[call-overload]
            stream = await sdk.chat.completions.create(  # type: ignore[call-overload]
                model="chat", messages=SAID, max_tokens=1000, stream=True, stream_options={"include_usage": True}
            )
            assert [chunk async for chunk in stream]
        with pytest.raises(openai.RateLimitError) as refused:
            await sdk.chat.completions.create(model="chat", messages=SAID, max_tokens=2999)  # type: ignore[call-overload]
        left = int(refused.value.response.headers["x-ratelimit-remaining-tokens"])
        assert left == 3000 - sum(endpoint.ledger.sum().total for endpoint in three)
        assert left > 2000


@pytest.mark.parametrize("odd", ["", "split", "coalesce,crlf", "split,cr", "no-final-blank", "comments,bom"])
async def test_the_sdk_sees_no_difference_where_usage_is_asked_in_its_place(three: list[Simulator], odd: str) -> None:
    """Neither a chunk more nor one less, in whatever pieces they come; and the count is exact."""
    tenants = "tenants: [{name: ada, include_usage: true}, {name: bob, include_usage: false}]"
    settings = {"LB_CLIENT_KEYS": "ada:key-a,bob:key-b", "LB_CONFIG_INLINE": tenants}
    fault = {"x-sim-fault": odd} if odd else {}

    async def chunks(sdk: openai.AsyncAzureOpenAI, name: str, **more: object) -> list[dict[str, object]]:
        stream = await sdk.chat.completions.create(  # type: ignore[call-overload]
            model="chat", messages=SAID, stream=True, extra_headers={"x-sim-tenant": name, **fault}, **more
        )
        own = ("id", "created", "choices")
        return [
            {name: value for name, value in chunk.to_dict().items() if name not in own} | {"of": len(chunk.choices)}
            async for chunk in stream
        ]

    async with Balancer(**backends(*three[:1], **settings)) as balancer:
        async with client(balancer, "key-a") as ada, client(balancer, "key-b") as bob:
            seen, plain = await chunks(ada, "ada"), await chunks(bob, "bob")
            told = await chunks(ada, "ada", stream_options={"include_usage": True})
        shown = await balancer.metrics()
    assert [{name: value for name, value in one.items() if name != "usage"} for one in seen] == plain
    assert {one.get("usage") for one in seen} == {None}
    assert len(told) == len(seen) + 1
    assert told[-1]["usage"] is not None
    booked = three[0].ledger.sum("ada").total
    row = 'openai_total_tokens_total{method_name="chat",openai_name="backend_1",tenant_name="ada"}'
    assert f"{row} {booked}.0" in shown
    assert 'source="estimated",tenant_name="ada"} 0.0' in shown
    assert 'source="reported",tenant_name="bob"} 0.0' in shown
