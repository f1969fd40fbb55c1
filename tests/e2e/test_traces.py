"""Traces as an OTLP receiver gets them from a real balancer, decoded with OpenTelemetry's own messages."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
from balancer import Balancer, backends, hasty
from openai import AsyncAzureOpenAI
from otlp_receiver import Received, attributes, over_grpc, over_http

from lb.sim import Settings, Simulator

CHAT = "/openai/deployments/chat/chat/completions?api-version=2024-10-21&api-key=secret"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-1] + "0"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
SAID: Any = [{"role": "user", "content": "hello"}]


@contextmanager
def receiver(protocol: str, received: Received) -> Iterator[dict[str, str]]:
    """The variables that make a balancer send there."""
    over = over_grpc if protocol == "grpc" else over_http
    with over(received) as url:
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **SOON}


async def until(seen: Any, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not seen():  # noqa: ASYNC110 - the receiver has threads of its own
            await asyncio.sleep(0.02)


def header(simulator: Simulator, at: int, name: str) -> str:
    """Of a request that it received; nothing where there is none."""
    return (simulator.received[at].get(name.encode()) or b"").decode()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_streamed_request_with_a_failover_is_one_trace(protocol: str) -> None:
    received = Received()
    first, second = Simulator(Settings(name="openai1")), Simulator(Settings(name="openai2"))
    with receiver(protocol, received) as variables:
        async with first, second, hasty(**backends(first, second, BACKEND_2_PRIORITY="2"), **variables) as balancer:
            first.faults.add("chat=429:7*1")
            sdk = AsyncAzureOpenAI(
                azure_endpoint=balancer.url, api_key="k", api_version="2025-04-01-preview", max_retries=0
            )
            async with sdk:
                stream = await sdk.chat.completions.create(
                    model="chat",
                    messages=SAID,
                    stream=True,
                    stream_options={"include_usage": True},
                    extra_headers={"traceparent": PARENT, "tracestate": "vendor=1"},
                )
                async for chunk in stream:
                    last = chunk
            await until(lambda: len(received.spans) == 3)
        server, refused, answered = received.spans
        told = attributes(server)
        assert server.name == "POST /openai/deployments/{deployment}/chat/completions"
        assert (server.kind, server.trace_state) == (2, "vendor=1")
        assert server.trace_id.hex() == PARENT[3:35]
        assert server.parent_span_id.hex() == PARENT[36:52]
        assert (told["http.response.status_code"], told["lb.attempts"], told["lb.outcome"]) == (200, 2, "relayed")
        assert told["lb.deployment"] == "chat"

        told = attributes(refused)
        assert (refused.kind, refused.parent_span_id) == (3, server.span_id)
        assert (told["lb.backend"], told["lb.verdict"], told["http.response.status_code"]) == (
            "BACKEND_1", "throttled", 429,
        )  # fmt: skip
        assert (told["lb.cooldown_seconds"], told["error.type"], refused.status.code) == (7.0, "429", 2)
        assert told["server.port"] == int(first.url.rpartition(":")[2])

        told = attributes(answered)
        assert answered.name == "chat chat"
        assert (told["lb.backend"], told["lb.verdict"], told["http.request.resend_count"]) == (
            "BACKEND_2",
            "relayed",
            1,
        )
        assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == ("chat", "azure.ai.openai")
        assert (told["gen_ai.response.id"], told["gen_ai.response.model"]) == (last.id, last.model)
        assert told["gen_ai.response.finish_reasons"] == ["stop"]
        assert last.usage is not None
        assert told["gen_ai.usage.input_tokens"] == last.usage.prompt_tokens
        assert told["gen_ai.usage.output_tokens"] == last.usage.completion_tokens
        assert 0 < told["gen_ai.response.time_to_first_chunk"] < 30
        assert answered.status.code == 0
        assert server.start_time_unix_nano <= refused.start_time_unix_nano < refused.end_time_unix_nano
        assert refused.end_time_unix_nano <= answered.start_time_unix_nano < answered.end_time_unix_nano
        assert answered.end_time_unix_nano <= server.end_time_unix_nano

        sent = [header(simulator, 0, "traceparent") for simulator in (first, second)]
        assert sent == [f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in (refused, answered)]
        assert header(second, 0, "tracestate") == "vendor=1"
        described = attributes(received.traces[0].resource_spans[0].resource)
        assert described["service.name"] == "openai-lb"
        assert described.keys() >= {"service.version", "service.instance.id"}
        assert "secret" not in str(received.traces)


async def test_a_request_that_is_not_recorded_keeps_its_callers_context() -> None:
    received = Received()
    with receiver("http/protobuf", received) as variables:
        async with Simulator() as one, hasty(**backends(one), **variables) as balancer, aiohttp.ClientSession() as http:
            said = {"messages": SAID}
            fields = {"Traceparent": UNSAMPLED, "tracestate": "a=b"}
            async with http.post(balancer.url + CHAT, json=said, headers=fields) as reply:
                assert reply.status == 200
            async with http.post(balancer.url + CHAT, json=said) as reply:
                assert reply.status == 200
            await until(lambda: len(received.spans) == 2)
            assert header(one, 0, "traceparent") == UNSAMPLED
            assert header(one, 0, "tracestate") == "a=b"
            assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", header(one, 1, "traceparent"))


@pytest.mark.parametrize("settings", [{"OTEL_TRACES_SAMPLER": "always_off"}, {"OTEL_SDK_DISABLED": "true"}, None])
async def test_without_tracing_nothing_is_added_or_taken(settings: dict[str, str] | None) -> None:
    received = Received()
    with receiver("http/protobuf", received) as variables:
        chosen = {} if settings is None else {**variables, **settings}
        async with Simulator() as one, hasty(**backends(one), **chosen) as balancer, aiohttp.ClientSession() as http:
            for fields in ({}, {"traceparent": PARENT, "tracestate": "a=b"}):
                async with http.post(balancer.url + CHAT, json={"messages": SAID}, headers=fields) as reply:
                    assert reply.status == 200
            assert [header(one, at, "traceparent") for at in (0, 1)] == ["", PARENT]
        assert not received.spans


async def test_draining_sends_what_waits() -> None:
    received = Received()
    with receiver("http/protobuf", received) as variables:
        async with Simulator() as one:
            settings = backends(one, **{**variables, "OTEL_BSP_SCHEDULE_DELAY": "3600000"})
            async with Balancer(**settings, LB_DRAIN_SECONDS="5") as balancer, aiohttp.ClientSession() as http:
                async with http.post(balancer.url + CHAT, json={"messages": SAID}) as reply:
                    assert reply.status == 200
                assert not received.spans
    assert len(received.spans) == 2
