"""What the endpoint says over HTTP: limits, refusals, head fields, the books, the control paths."""

import asyncio
import gzip
import ssl
from email.utils import parsedate_to_datetime

import aiohttp
import orjson
import pytest
import trustme
from sim_asks import CHAT, TODAY
from yarl import URL

from lb.sim import Simulator, Span

CLASSIC = "/openai/deployments/chat/chat/completions?api-version=2024-10-21"
V1 = "/openai/v1/chat/completions"


async def post(http, sim, path=V1, body=CHAT, **headers):
    async with http.post(sim.url + path, json=body, headers=headers) as reply:
        raw = await reply.read()
    return reply.status, reply.headers, orjson.loads(raw) if reply.content_type == "application/json" else raw


async def test_a_success_carries_azures_fields(start, http):
    sim = await start(tpm=1000, rpm=600)
    status, headers, _ = await post(http, sim, **{"x-ms-client-request-id": "mine"})
    assert status == 200
    assert headers["x-ms-region"] == "eastus2"
    assert headers["x-ms-deployment-name"] == "chat"
    assert headers["x-ms-client-request-id"] == "mine"
    assert headers["apim-request-id"]
    assert headers["x-request-id"]
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    assert headers["x-ratelimit-remaining-tokens"] == "982"
    assert headers["x-ratelimit-remaining-requests"] == "599"
    assert parsedate_to_datetime(headers["Date"]).timestamp() == int(TODAY)


async def test_over_the_tokens_it_refuses_as_azure_does(start, http, clock):
    sim = await start(tpm=40)
    for _ in range(2):
        await post(http, sim, CLASSIC)
    clock.now += 12.5
    status, headers, body = await post(http, sim, CLASSIC)
    assert status == 429
    assert (headers["Retry-After"], headers["retry-after-ms"]) == ("48", "47500")
    assert headers["x-ratelimit-reset-tokens"] == "48"
    assert body["error"]["code"] == "429"
    assert body["error"]["message"].startswith(
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded "
        "token rate limit of your current OpenAI S0 pricing tier. Please retry after 48 seconds."
    )
    clock.now += 47.5
    assert (await post(http, sim, CLASSIC))[0] == 200


async def test_over_the_requests_it_names_the_call_rate(start, http):
    sim = await start(rpm=60)
    assert (await post(http, sim))[0] == 200
    status, headers, body = await post(http, sim)
    assert (status, headers["Retry-After"]) == (429, "1")
    assert "exceeded call rate limit" in body["error"]["message"]
    assert sim.counts.throttled == 1


async def test_each_deployment_has_its_own_limits(start, http):
    sim = await start(tpm=20)
    assert (await post(http, sim))[0] == 200
    assert (await post(http, sim))[0] == 429
    assert (await post(http, sim, body={**CHAT, "model": "other"}))[0] == 200


async def test_a_throttled_stream_can_say_so_under_status_200(start, http):
    sim = await start(tpm=20, throttle_in_stream=True)
    stream = {**CHAT, "stream": True}
    await post(http, sim, body=stream)
    status, headers, raw = await post(http, sim, body=stream)
    assert (status, headers["Retry-After"]) == (200, "60")
    assert raw.startswith(b'data: {"error":{"code":"429"')
    status, _, _ = await post(http, sim)
    assert status == 429
    assert sim.counts.throttled == 2


async def test_a_stream_is_an_event_stream_in_chunks(start, http):
    sim = await start()
    _, headers, raw = await post(http, sim, body={**CHAT, "stream": True})
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["Transfer-Encoding"] == "chunked"
    assert raw.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"api-key": "k2"}, 200), ({"Authorization": "Bearer k1"}, 200), ({"api-key": "no"}, 401), ({}, 401)],
)
async def test_only_known_credentials_are_let_in(start, http, headers, status):
    sim = await start(keys=("k1", "k2"))
    found, _, body = await post(http, sim, **headers)
    assert found == status
    assert status == 200 or body["error"]["code"] == "401"


async def test_an_unknown_deployment_and_an_unknown_path_are_not_found(start, http):
    sim = await start(deployments=("other",))
    assert (await post(http, sim))[2]["error"]["code"] == "DeploymentNotFound"
    status, _, body = await post(http, sim, "/openai/nothing")
    assert (status, body["error"]["message"]) == (404, "Resource not found")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages":[]}', b'{"model":7}', b'{"model":"m","tools":["x"]}'])
async def test_a_wrong_body_is_a_400(start, http, body):
    sim = await start()
    async with http.post(sim.url + V1, data=body) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["type"] == "invalid_request_error"


async def test_a_compressed_request_is_understood_and_kept_as_it_came(start, http):
    sim = await start()
    packed = gzip.compress(orjson.dumps(CHAT))
    async with http.post(sim.url + V1, data=packed, headers={"Content-Encoding": "gzip"}) as reply:
        assert reply.status == 200
    assert sim.received[0].body == packed


async def test_what_was_received_is_kept_byte_for_byte(start, http):
    sim = await start(keep_requests=2)
    for number in range(3):
        exact = URL(f"{sim.url}{V1}?n=%7E{number}", encoded=True)
        async with http.post(exact, json=CHAT, headers={"X-Odd-Case": "a  b"}) as reply:
            assert reply.status == 200
    assert [one.target for one in sim.received] == [f"{V1}?n=%7E1", f"{V1}?n=%7E2"]
    last = sim.received[-1]
    assert (b"X-Odd-Case", b"a  b") in last.headers
    assert orjson.loads(last.body) == CHAT
    assert (last.method, last.status, last.operation, last.deployment) == ("POST", 200, "chat", "chat")
    assert sim.received[0].connection == last.connection


async def test_latency_and_token_delay_are_slept_by_the_given_clock(start, http, clock):
    sim = await start(latency=Span(2.0, 2.0), token_delay=Span(0.5, 1.5))
    await post(http, sim, body={**CHAT, "stream": True})
    assert clock.slept[0] == 2.0
    assert len(clock.slept) == 21  # the head, and each of prompt filter, role, 16 words, finish, [DONE]
    assert all(0.5 <= pause <= 1.5 for pause in clock.slept[1:])


async def test_the_same_seed_gives_the_same_replies(start, http):
    first, second, third = await start(seed=5), await start(seed=5), await start(seed=6)
    replies = [await post(http, sim) for sim in (first, second, third)]
    ids = [(headers["apim-request-id"], body["id"]) for _, headers, body in replies]
    assert ids[0] == ids[1] != ids[2]


async def test_the_ledger_knows_tenants_deployments_and_operations(start, http):
    sim = await start()
    await post(http, sim, **{"x-sim-tenant": "red"})
    await post(http, sim, body={**CHAT, "user": "blue", "stream": True})
    await post(http, sim, "/openai/v1/embeddings", {"model": "emb", "input": "hello", "user": "blue"})
    async with http.get(sim.url + "/_sim/ledger") as reply:
        rows = {(row["tenant"], row["operation"]): row for row in await reply.json()}
    assert rows["red", "chat"]["total"] == 18
    assert rows["blue", "chat"]["unreported"] == 1
    assert rows["blue", "embeddings"]["total"] == 2


async def test_a_client_that_leaves_is_counted_and_what_it_got_is_entered(start, clock):
    arrived = asyncio.Event()

    async def third_event_hangs(seconds: float) -> None:
        clock.slept.append(seconds)
        if len(clock.slept) == 5:
            arrived.set()
            await asyncio.Event().wait()

    clock.sleep = third_event_hangs
    sim = await start(token_delay=Span(0.1, 0.1))
    async with aiohttp.ClientSession() as http:
        task = asyncio.create_task(post(http, sim, body={**CHAT, "stream": True}))
        await arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await sim.until(lambda: sim.counts.in_flight == 0)
    row = sim.ledger.sum()
    assert (sim.counts.abandoned, row.unfinished, row.completion) == (1, 1, 3)


async def test_limits_can_be_changed_while_it_runs(start, http):
    sim = await start()
    await post(http, sim, "/_sim/limits", {"tpm": 20})
    assert [(await post(http, sim))[0] for _ in range(2)] == [200, 429]
    await post(http, sim, "/_sim/limits", {"deployment": "chat", "tpm": None})
    assert (await post(http, sim))[0] == 200


async def test_faults_can_be_set_and_asked_about_over_http(start, http):
    sim = await start()
    _, _, told = await post(http, sim, "/_sim/faults", {"add": ["chat=500*1"], "script": ["ok", "503:2"]})
    assert told["rules"] == ["chat=500*1"]
    replies = [await post(http, sim) for _ in range(4)]
    assert [status for status, _, _ in replies] == [200, 503, 500, 200]
    assert replies[1][1]["Retry-After"] == "2"
    assert "Retry-After" not in replies[2][1]
    async with http.get(sim.url + "/_sim/faults") as reply:
        assert (await reply.json())["happened"] == {"ok": 1, "503": 1, "500": 1}
    async with http.delete(sim.url + "/_sim/faults") as reply:
        assert (await reply.json())["rules"] == []


@pytest.mark.parametrize("body", [{"add": ["nonsense"]}, {"add": "500"}, {"more": []}, []])
async def test_a_wrong_wish_is_refused_in_words(start, http, body):
    status, _, told = await post(http, await start(), "/_sim/faults", body)
    assert status == 400
    assert told["error"]


async def test_control_requests_are_not_counted(start, http):
    sim = await start()
    await post(http, sim)
    for path in ("/_sim", "/_sim/counts", "/_sim/received"):
        async with http.get(sim.url + path) as reply:
            assert reply.status == 200
    async with http.get(sim.url + "/_sim/nothing") as reply:
        assert reply.status == 404
    assert (sim.counts.requests, len(sim.received)) == (1, 1)
    await post(http, sim, "/_sim/reset", {})
    assert (sim.counts.requests, len(sim.received), sim.ledger.rows()) == (0, 0, [])


async def test_three_hundred_connections_are_served_at_once(start):
    sim = await start()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        replies = await asyncio.gather(*[post(http, sim) for _ in range(300)])
    assert {status for status, _, _ in replies} == {200}
    assert sim.counts.in_flight == 0


async def test_it_can_speak_tls():
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with Simulator(tls=tls) as sim, aiohttp.ClientSession(connector=connector) as http:
        assert sim.url.startswith("https://")
        assert (await post(http, sim, body={**CHAT, "stream": True}))[0] == 200
