"""Ten thousand requests at full load: each span arrives, or is counted as dropped; the receiver is gone for a while."""

import asyncio
import re

import aiohttp
import pytest
from balancer import Balancer, backends
from otlp_receiver import Received, attributes, over_http
from test_traces import SAID, until

from lb.sim import Settings, Simulator

CHAT = "/openai/deployments/chat/chat/completions?api-version=2024-10-21"
REQUESTS = 10_000
AT_ONCE = 48


async def counts(balancer: Balancer) -> tuple[int, int]:
    """Spans that were exported and dropped."""
    async with aiohttp.ClientSession() as http, http.get(f"{balancer.admin}/metrics") as reply:
        text = await reply.text()
    found = [
        sum(int(float(value)) for value in re.findall(rf"^lb_spans_{kind}_total{{.*}} (.*)$", text, re.MULTILINE))
        for kind in ("exported", "dropped")
    ]
    return found[0], found[1]


async def settled(balancer: Balancer, spans: int) -> tuple[int, int]:
    """The same, once it is known what became of so many."""
    async with asyncio.timeout(60):
        while sum(found := await counts(balancer)) < spans:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.2)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)  # ten seconds on a machine of its own
async def test_none_is_lost_silently() -> None:
    received = Received()
    with over_http(received) as url:
        variables = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{url}/v1/traces",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BSP_MAX_QUEUE_SIZE": "2000",
            "LB_LOG_LEVEL": "info",
            "LB_DRAIN_SECONDS": "5",
        }
        async with Simulator(Settings(keep_requests=1)) as one, Balancer(**backends(one, **variables)) as balancer:
            done = 0

            async def client(http: aiohttp.ClientSession) -> None:
                nonlocal done
                while done < REQUESTS:
                    done += 1
                    received.status = 503 if REQUESTS * 0.3 < done < REQUESTS * 0.7 else 200
                    async with http.post(balancer.url + CHAT, json={"messages": SAID}) as reply:
                        assert reply.status == 200
                        await reply.read()

            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                await asyncio.gather(*[client(http) for _ in range(AT_ONCE)])
            exported, dropped = await settled(balancer, 2 * REQUESTS)
        assert exported + dropped == 2 * REQUESTS
        assert len(received.spans) == exported
        assert dropped > 0
        assert len({span.span_id for span in received.spans}) == exported
        texts = [line["event"] for line in balancer.lines if line["event"].startswith("Spans ")]
        assert texts.count("Spans cannot be exported; traffic goes on") == 1
        assert texts.count("Spans are dropped: the queue for their export is full") >= 1
        assert "Spans are exported again" in texts


async def test_each_worker_exports_what_it_served() -> None:
    received = Received()
    with over_http(received) as url:
        variables = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{url}/v1/traces", "OTEL_BSP_SCHEDULE_DELAY": "100"}
        settings = {**variables, "LB_WORKERS": "2", "LB_DRAIN_SECONDS": "5"}
        async with Simulator() as one, Balancer(**backends(one, **settings)) as balancer:
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=connector) as http:
                for _ in range(40):
                    async with http.post(balancer.url + CHAT, json={"messages": SAID}) as reply:
                        assert reply.status == 200
            await until(lambda: len(received.spans) == 80)
            assert await settled(balancer, 80) == (80, 0)
        instances = {
            attributes(part.resource)["service.instance.id"]
            for request in received.traces
            for part in request.resource_spans
        }
        assert len(instances) == 2
