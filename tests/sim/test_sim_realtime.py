"""WebSockets of the simulator: the official SDK's sessions, refusals of the handshake, and what goes wrong in one."""

import asyncio
import base64
import json

import aiohttp
import openai
import pytest
from websockets.asyncio.client import connect

from lb.sim import Simulator

GA = "/openai/v1/realtime?model=voice"
PREVIEW = "/openai/realtime?api-version=2025-04-01-preview&deployment=voice"
HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say hello, please!"}]}


def ws(sim: Simulator, target: str = GA) -> str:
    return sim.url.replace("http", "ws") + target


async def until(connection: object, kind: str) -> list[object]:
    events = []
    async for event in connection:  # type: ignore[attr-defined]
        events.append(event)
        if event.type == kind:
            return events
    raise AssertionError(f"it ended without {kind}")


def said(message: object) -> str:
    return json.dumps(message)


async def heard(socket: object, kind: str) -> list[dict]:
    events: list[dict] = []
    while not events or events[-1]["type"] != kind:
        events.append(json.loads(await asyncio.wait_for(socket.recv(), 30)))  # type: ignore[attr-defined]
    return events


@pytest.fixture
def v1(start):
    async def make(**settings: object) -> tuple[Simulator, openai.AsyncOpenAI]:
        sim = await start(**settings)
        return sim, openai.AsyncOpenAI(base_url=f"{sim.url}/openai/v1", api_key="any")

    return make


async def test_a_session_talks_and_its_cost_is_in_the_ledger(v1) -> None:
    sim, client = await v1()
    async with client, client.realtime.connect(model="voice") as connection:
        assert (await connection.recv()).type == "session.created"
        for turn in (1, 2):
            await connection.conversation.item.create(item=HELLO)
            await connection.response.create()
            events = await until(connection, "response.done")
            usage = events[-1].response.usage
            assert usage.total_tokens == usage.input_tokens + usage.output_tokens
            assert (usage.input_token_details.cached_tokens > 0) == (turn == 2)
            assert "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert sim.ledger.sum(operation="realtime").requests == 2
    assert sim.counts.statuses == {101: 1}


async def test_the_preview_has_its_own_path_and_names(start) -> None:
    sim = await start()
    async with (
        openai.AsyncAzureOpenAI(
            azure_endpoint=sim.url,
            websocket_base_url=ws(sim, "/openai"),
            api_key="any",
            api_version="2025-04-01-preview",
        ) as client,
        client.realtime.connect(model="voice") as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        await connection.conversation.item.create(item=HELLO)
        await connection.response.create()
        kinds = {event.type for event in await until(connection, "response.done")}
        assert {"conversation.item.created", "response.text.delta"} <= kinds
    assert sim.received[0].target.startswith("/openai/realtime?")


async def test_sound_is_counted_in_tokens_of_audio(v1) -> None:
    _, client = await v1()
    async with client, client.realtime.connect(model="voice") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["audio"]})
        await connection.input_audio_buffer.append(audio=base64.b64encode(bytes(48_000)).decode())
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        usage = (await until(connection, "response.done"))[-1].response.usage
        assert usage.input_token_details.audio_tokens == 10
        assert usage.output_token_details.audio_tokens == usage.output_token_details.text_tokens > 0


async def test_an_event_of_fifteen_megabytes_is_taken(start) -> None:
    sim = await start()
    async with connect(ws(sim), max_size=None) as socket:
        await socket.send(said({"type": "input_audio_buffer.append", "audio": "AAAA" * (15 * 2**20 // 4)}))
        await socket.send(said({"type": "input_audio_buffer.commit"}))
        events = await heard(socket, "conversation.item.done")
        assert [event["type"] for event in events][1] == "input_audio_buffer.committed"


async def test_responses_go_over_a_socket_in_turn(v1) -> None:
    sim, client = await v1()
    async with client, client.responses.connect() as connection:
        await connection.response.create(model="chat", input="hello")
        first = (await until(connection, "response.completed"))[-1].response
        await connection.response.create(model="chat", input="again", previous_response_id=first.id)
        second = (await until(connection, "response.completed"))[-1].response
        assert second.previous_response_id == first.id
        assert second.usage.input_tokens > first.usage.input_tokens
        await connection.response.create(model="chat", input="again", previous_response_id="resp_unknown")
        error = (await until(connection, "error"))[-1]
        assert error.error.code == "previous_response_not_found"
    assert sim.ledger.sum(operation="responses").requests == 2


@pytest.mark.parametrize(
    ("settings", "target", "status"),
    [
        ({"faults": ("429:7",)}, GA, 429),
        ({"faults": ("500",)}, PREVIEW, 500),
        ({"keys": ("right",)}, GA, 401),
        ({"deployments": ("chat",)}, GA, 404),
        ({}, "/openai/realtime?deployment=voice", 404),
        ({}, "/openai/v1/chat/completions", 404),
        ({"faults": ("realtime=503:3",)}, GA, 503),
    ],
)
async def test_a_handshake_is_refused_in_azures_words(start, settings, target: str, status: int) -> None:
    sim = await start(**settings)
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(sim.url + target)
        assert refused.value.status == status
    assert sim.received[-1].status == status


@pytest.mark.parametrize("given", ["?model=voice&api-key=right", "?model=voice"])
async def test_a_key_may_stand_in_the_query(start, given: str) -> None:
    sim = await start(keys=("right",))
    headers = {} if "api-key" in given else {"api-key": "right"}
    async with connect(ws(sim, "/openai/v1/realtime" + given), additional_headers=headers) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"


async def test_handshakes_count_against_the_limit_and_responses_too(start) -> None:
    sim = await start(rpm=60, tpm=40)
    async with connect(ws(sim)) as socket:
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(sim.url + GA)
            assert refused.value.status == 429
            assert "retry-after-ms" in refused.value.headers
        sim.endpoint.set_limit(type(sim.endpoint._default)(tpm=10))
        await socket.send(said({"type": "response.create"}))
        done = (await heard(socket, "response.done"))[-1]["response"]
        assert (done["status"], done["status_details"]["error"]["code"]) == ("failed", "rate_limit_exceeded")


@pytest.mark.parametrize("event", [{"type": "nonsense"}, {"type": "conversation.item.create"}, {"x": 1},
                                   {"type": "input_audio_buffer.append", "audio": "*"},
                                   {"type": "input_audio_buffer.commit"}])  # fmt: skip
async def test_a_wrong_event_is_answered_and_the_session_goes_on(start, event) -> None:
    sim = await start()
    async with connect(ws(sim)) as socket:
        await socket.send(said(event))
        assert (await heard(socket, "error"))[-1]["error"]["type"] == "invalid_request_error"
        await socket.send(said({"type": "response.create"}))
        assert await heard(socket, "response.done")


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [("socket-close:1008", 1008, "as you asked"), ("socket-close", 1011, "as you asked"), ("socket-cut", 1006, ""),
     ("socket-mid-frame", 1006, "")],
)  # fmt: skip
async def test_a_session_ends_as_it_is_told_to(start, fault: str, code: int, reason: str) -> None:
    sim = await start(faults=(fault,))
    async with connect(ws(sim)) as socket:
        await socket.send(said({"type": "response.create"}))
        await socket.wait_closed()
        assert (socket.close_code or 1006, socket.close_reason or "") == (code, reason)
    assert sim.faults.happened[fault.partition(":")[0]] == 1


async def test_a_session_may_fall_silent(start) -> None:
    sim = await start(faults=("socket-silence",))
    async with connect(ws(sim), close_timeout=0.1) as socket:  # a silent one does not answer to that either
        await socket.send(said({"type": "response.create"}))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(heard(socket, "response.done"), 0.2)
    await sim.until(lambda: sim.counts.in_flight == 0)


async def test_what_is_no_json_ends_the_session(start) -> None:
    sim = await start()
    async with connect(ws(sim)) as socket:
        await socket.send("{")
        await socket.wait_closed()
        assert socket.close_code == 1007


async def test_a_fault_of_answers_does_not_strike_a_socket_nor_the_other_way_round(start, http) -> None:
    sim = await start(faults=("cut-mid-body", "socket-cut"))
    async with connect(ws(sim)) as socket:
        await socket.recv()
    async with http.get(sim.url + "/openai/v1/models") as reply:
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()
    assert [record.faults for record in sim.received] == [("socket-cut",), ("cut-mid-body",)]
