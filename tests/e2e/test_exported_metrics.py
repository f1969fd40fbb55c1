"""Metrics as an OTLP receiver gets them from a real balancer, decoded with OpenTelemetry's own messages."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest
from balancer import Balancer, backends
from openai import AsyncAzureOpenAI
from otlp_receiver import Received, attributes, over_grpc, over_http
from test_traces import until

from lb.sim import Settings, Simulator, Span

DROPPED = 'lb_spans_dropped_total{exporter="otlp",reason="export"} 10.0'
SAID: Any = [{"role": "user", "content": "hello"}]


def count(received: Received, name: str, **wanted: object) -> int:
    """Of a histogram, added up over the rows that have these attributes."""
    names = {key.replace("__", "."): value for key, value in wanted.items()}
    return sum(point.count for point in received.points(name) if names.items() <= attributes(point).items())


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_operations_tokens_and_the_balancers_own(protocol: str) -> None:
    received = Received()
    first, second = Simulator(Settings(name="openai1")), Simulator(Settings(token_delay=Span(0.01, 0.01)))
    over = over_grpc if protocol == "grpc" else over_http
    with over(received) as url:
        variables = {
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=a%20b",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
        second_last = {"BACKEND_2_PRIORITY": "2", "LB_DRAIN_SECONDS": "3"}
        async with first, second, Balancer(**backends(first, second, **second_last, **variables)) as balancer:
            first.faults.add("chat=429:7*1")
            sdk = AsyncAzureOpenAI(
                azure_endpoint=balancer.url, api_key="k", api_version="2025-04-01-preview", max_retries=0
            )
            async with sdk:
                for _ in range(3):
                    await sdk.chat.completions.create(model="chat", messages=SAID)
                stream = await sdk.chat.completions.create(
                    model="chat", messages=SAID, stream=True, stream_options={"include_usage": True}
                )
                pieces = [chunk async for chunk in stream]
                await sdk.embeddings.create(model="embedding", input="x")
            await until(lambda: count(received, "gen_ai.client.operation.duration") == 5)
        (duration,) = [
            point
            for point in received.points("gen_ai.client.operation.duration")
            if attributes(point)["gen_ai.operation.name"] == "chat"
        ]
        assert attributes(duration) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "azure.ai.openai",
            "gen_ai.request.model": "chat",
            "server.address": "127.0.0.1",
            "server.port": int(second.url.rpartition(":")[2]),
        }
        assert duration.count == 4
        assert list(duration.explicit_bounds)[:2] == [0.01, 0.02]
        assert duration.explicit_bounds[-1] == pytest.approx(81.92)
        assert len(duration.bucket_counts) == 15
        assert 0 < duration.sum < 20
        usage = "gen_ai.client.token.usage"
        assert count(received, usage, gen_ai__token__type="output", gen_ai__operation__name="chat") == 4
        assert count(received, usage, gen_ai__token__type="input", gen_ai__operation__name="embeddings") == 1
        assert count(received, "gen_ai.client.operation.time_to_first_chunk") == 1
        assert 0 < count(received, "gen_ai.client.operation.time_per_output_chunk") <= len(pieces) + 1
        verdicts: Counter[str] = Counter()
        for point in received.points("lb.attempts"):
            verdicts[attributes(point)["verdict"]] += point.as_int
        assert verdicts == {"relayed": 5, "throttled": 1}
        assert sum(point.count for point in received.points("lb.duration")) == 5
        assert received.headers[-1]["x-scope"] == "a b"


async def test_an_unreachable_receiver_is_told_once_and_traffic_goes_on() -> None:
    received = Received()
    with over_http(received) as url:
        received.status = 500
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        async with Simulator() as one, Balancer(**backends(one, **variables), LB_DRAIN_SECONDS="3") as balancer:
            path = "/openai/deployments/chat/chat/completions?api-version=2024-10-21"
            async with aiohttp.ClientSession() as http:
                for _ in range(5):
                    async with http.post(balancer.url + path, json={"messages": SAID}) as reply:
                        assert reply.status == 200
                    await asyncio.sleep(0.15)
                for what in ("Spans", "Metrics"):
                    line = await balancer.line(lambda line, what=what: line["event"].startswith(f"{what} cannot be"))
                    assert (line["level"], line["reason"]) == ("warning", "HTTP 500")
                async with asyncio.timeout(30):
                    while DROPPED not in await balancer.metrics():  # else the last ones arrive after all
                        pass
                received.status = 200
                async with http.post(balancer.url + path, json={"messages": SAID}) as reply:
                    assert reply.status == 200
                for what in ("Spans", "Metrics"):
                    await balancer.line(lambda line, what=what: line["event"] == f"{what} are exported again")
                async with http.get(f"{balancer.admin}/metrics") as shown:
                    metrics = await shown.text()
        for what in ("Spans", "Metrics"):
            assert len(balancer.events(f"{what} cannot be exported")) == 1
        assert DROPPED in metrics
        assert len(received.spans) == 2
