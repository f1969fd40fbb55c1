"""WebSockets as users open them: the official SDK, the real command, and simulated endpoints behind it."""

import asyncio
import base64
import json
import signal
from typing import Any

import openai
import pytest
from asks import client as http_client
from balancer import PATIENCE, Balancer, backends, hasty
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lb.sim import Simulator

GA = "/openai/v1/realtime?model=voice"
HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say hello, please!"}]}
RESPOND = '{"type":"response.create"}'


def open_socket(balancer: Balancer, target: str = GA, **more: Any) -> connect:
    return connect(balancer.url.replace("http", "ws") + target, max_size=None, **more)


def v1(balancer: Balancer, key: str = "any") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{balancer.url}/openai/v1", api_key=key, max_retries=0)


async def turn(connection: Any) -> int:
    """One question and its answer; returns what it cost."""
    await connection.conversation.item.create(item=HELLO)
    await connection.response.create()
    async for event in connection:
        if event.type == "response.done":
            assert event.response.status == "completed"
            return int(event.response.usage.total_tokens)
    raise AssertionError("no answer")


async def until(socket: ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        event: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
        if event["type"] == kind:
            return event


async def ended(socket: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(PATIENCE):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason


async def test_the_sdk_holds_a_session_through_a_failover_at_the_handshake(three: list[Simulator]) -> None:
    three[0].faults.script("429:7")
    three[1].faults.script("429:7")
    async with (
        hasty(**backends(*three)) as balancer,
        v1(balancer) as sdk,
        sdk.realtime.connect(model="voice") as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        for _ in range(3):
            assert await turn(connection)
    events = [line["event"] for line in balancer.events("Proxying to") + balancer.events("Received response")]
    assert [event.rpartition("/openai")[2] for event in events[:3]] == ["/v1/realtime?model=voice"] * 3
    assert sorted(events[3:]) == ["Received response 101", *["Received response 429"] * 2]
    assert len(balancer.events("Destination")) == 2


async def test_the_azure_client_speaks_the_preview_and_each_backend_has_its_own_name(three: list[Simulator]) -> None:
    three[0].faults.script("503")
    settings = backends(*three[:2], BACKEND_1_DEPLOYMENTS="voice=rt-one", BACKEND_2_DEPLOYMENT_NAME="rt+two")
    settings |= {"BACKEND_2_PRIORITY": "2"}
    async with hasty(**settings) as balancer:
        sdk = openai.AsyncAzureOpenAI(
            azure_endpoint=balancer.url,
            websocket_base_url=balancer.url.replace("http", "ws") + "/openai",
            api_key="any",
            api_version="2025-04-01-preview",
        )
        async with sdk, sdk.realtime.connect(model="voice") as connection:
            assert await turn(connection)
    assert [sim.received[0].target for sim in three[:2]] == [
        "/openai/realtime?api-version=2025-04-01-preview&deployment=rt-one",
        "/openai/realtime?api-version=2025-04-01-preview&deployment=rt%2Btwo",
    ]


async def test_responses_over_a_socket_stay_on_one_backend(three: list[Simulator]) -> None:
    async with hasty(**backends(*three)) as balancer, v1(balancer) as sdk, sdk.responses.connect() as connection:
        previous = None
        for _ in range(4):
            extra = {} if previous is None else {"previous_response_id": previous}
            await connection.response.create(model="chat", input="again", **extra)
            async for event in connection:
                assert event.type != "error"
                if event.type == "response.completed":
                    previous = event.response.id
                    break
        assert sorted(sim.ledger.sum().requests for sim in three) == [0, 0, 4]


@pytest.mark.parametrize("allowed", ["false", "true"])
async def test_a_caller_with_a_name_gets_a_responses_socket_only_where_that_is_wanted(
    allowed: str, three: list[Simulator]
) -> None:
    settings = backends(*three, LB_CLIENT_KEYS="ada:s3cret-of-ada", LB_RESPONSES_WEBSOCKET=allowed)
    async with hasty(**settings) as balancer:
        opening = connect(
            balancer.url.replace("http", "ws") + "/openai/v1/responses",
            additional_headers={"api-key": "s3cret-of-ada"},
        )
        if allowed == "true":
            async with opening:
                return
        with pytest.raises(InvalidStatus) as refused:
            await opening
        assert refused.value.response.status_code == 403
        assert b"LB_RESPONSES_WEBSOCKET" in (refused.value.response.body or b"")


WAYS = {
    "field": ("", {"additional_headers": {"api-key": "s3cret-of-ada"}}),
    "bearer": ("", {"additional_headers": {"Authorization": "Bearer s3cret-of-ada"}}),
    "query": ("&api-key=s3cret-of-ada", {}),
    "query as openai-node writes it": ("&Authorization=Bearer+s3cret-of-ada", {}),
    "subprotocol": ("", {"subprotocols": ["realtime", "openai-insecure-api-key.s3cret-of-ada"]}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_callers_key_is_checked_wherever_it_stands_and_goes_no_further(
    three: list[Simulator], way: str
) -> None:
    query, more = WAYS[way]
    async with hasty(**backends(three[0], LB_CLIENT_KEYS="ada:s3cret-of-ada")) as balancer:
        async with open_socket(balancer, GA + query, **more) as socket:
            assert socket.subprotocol == ("realtime" if way == "subprotocol" else None)
            assert (await until(socket, "session.created"))["session"]["model"]
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(balancer, GA + query.replace("ada", "eve"), additional_headers={"api-key": "wrong"})
        assert refused.value.response.status_code == 401
        (received,) = three[0].received
        assert received.get(b"api-key") == b"key-of-1"
        assert b"s3cret" not in received.target.encode() + b"".join(map(b"".join, received.headers))
        assert "s3cret" not in json.dumps(balancer.lines)


async def test_a_refusal_reaches_the_client_as_it_was(three: list[Simulator]) -> None:
    three[0].faults.add("content-filter")
    async with hasty(**backends(three[0])) as balancer:
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(balancer)
        response = refused.value.response
        assert response.status_code == 400
        assert json.loads(response.body)["error"]["code"] == "content_filter"
        assert response.headers["x-ms-region"] == "eastus2"


async def test_where_all_are_throttled_the_handshake_is_told_when_to_come_again(three: list[Simulator]) -> None:
    for sim, wait in zip(three, (9, 5, 7), strict=True):
        sim.faults.add(f"429:{wait}")
    async with hasty(**backends(*three)) as balancer:
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(balancer)
        response = refused.value.response
        assert (response.status_code, response.headers["retry-after"]) == (429, "5")


@pytest.mark.parametrize(
    ("fault", "code"), [("socket-close:1008", 1008), ("socket-close:4321", 4321), ("socket-cut", None)]
)
async def test_a_session_that_the_backend_ends_is_ended_as_it_did(
    three: list[Simulator], fault: str, code: int | None
) -> None:
    three[0].faults.add(fault)
    async with hasty(**backends(three[0])) as balancer:
        async with open_socket(balancer) as socket:
            await socket.send(RESPOND)
            found = await ended(socket)
            assert found == (code or 1006, "as you asked" if code else "")
        await balancer.settled()
        if code is None:
            await balancer.line(lambda line: line["event"].startswith("Response cut by `BACKEND_1`"))
        assert bool(balancer.events("Response cut")) == (code is None)
        assert (await balancer.status())["backends"][0]["state"] == "available"


async def test_a_client_that_leaves_ends_the_session_at_the_backend(three: list[Simulator]) -> None:
    async with hasty(**backends(three[0])) as balancer:
        async with open_socket(balancer) as socket:
            await until(socket, "session.created")
            assert (await balancer.status())["backends"][0]["in_flight"] == 1
            socket.transport.abort()
        await asyncio.wait_for(three[0].until(lambda: three[0].counts.in_flight == 0), PATIENCE)
        await balancer.settled()


async def test_events_of_fifteen_megabytes_pass(three: list[Simulator]) -> None:
    sound = base64.b64encode(bytes(11 * 2**20)).decode()
    async with (
        hasty(**backends(three[0])) as balancer,
        v1(balancer) as sdk,
        sdk.realtime.connect(model="voice") as connection,
    ):
        await connection.input_audio_buffer.append(audio=sound)
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        async for event in connection:
            if event.type == "response.done":
                assert event.response.usage.input_token_details.audio_tokens == 11 * 2**20 // 4800
                break


TENANTS = """
tenants:
  - name: ada
    tokens_per_minute: 100000
    max_concurrent: 2
  - name: bob
    deployments: [chat]
metrics: {usage: true}
"""


async def test_what_tenants_spend_in_sessions_is_counted_exactly_and_while_they_run(three: list[Simulator]) -> None:
    settings = backends(*three, LB_CLIENT_KEYS="ada:key-a,bob:key-b", LB_CONFIG_INLINE=TENANTS)
    async with hasty(**settings) as balancer:
        async with v1(balancer, "key-a") as ada, ada.realtime.connect(model="voice") as one:
            spent = await turn(one) + await turn(one)
            await until_used(balancer, spent + 1)  # the session holds one token until it ends
            async with ada.realtime.connect(model="voice") as two:
                spent += await turn(two)
                with pytest.raises(InvalidStatus) as refused:
                    await open_socket(balancer, additional_headers={"api-key": "key-a"})
                assert refused.value.response.status_code == 429
                assert refused.value.response.headers["x-lb-limit"] == "max_concurrent"
        await until_used(balancer, spent)
        assert sum(sim.ledger.sum().total for sim in three) == spent
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(balancer, additional_headers={"api-key": "key-b"})
        assert refused.value.response.status_code == 403
        shown = await balancer.metrics()
        totals = [line for line in shown.splitlines() if line.startswith("openai_total_tokens_total{")]
        assert sum(float(line.rpartition(" ")[2]) for line in totals) == spent
        assert all('method_name="realtime"' in line and 'tenant_name="ada"' in line for line in totals)


async def until_used(balancer: Balancer, tokens: int) -> None:
    wanted = f'lb_quota_used{{deployment="all",limit="tokens_per_minute",tenant_name="ada"}} {tokens}.0'
    async with asyncio.timeout(PATIENCE):
        while wanted not in await balancer.metrics():  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_at_the_end_of_a_drain_sessions_are_told_and_the_command_ends_well(
    three: list[Simulator], workers: str
) -> None:
    async with Balancer(**backends(three[0], LB_DRAIN_SECONDS="5", LB_WORKERS=workers)) as balancer:
        assert balancer.process is not None
        async with open_socket(balancer) as leaver, open_socket(balancer) as stayer:
            await until(stayer, "session.created")
            balancer.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(1.2)
            for socket in (leaver, stayer):
                await socket.send(RESPOND)
                await until(socket, "response.done")
            await leaver.close(1000)
            assert await ended(stayer) == (1001, "The load balancer is shutting down.")
        assert await asyncio.wait_for(balancer.process.wait(), PATIENCE) == 0
    assert not balancer.events("A request failed")


async def test_an_idle_session_is_kept_alive_through_a_proxy_that_ends_the_silent(three: list[Simulator]) -> None:
    """Between client and balancer stands what ends a connection on which nothing came for a while."""
    ends_after = 1.5
    settings = backends(three[0], LB_WEBSOCKET_PING_SECONDS="0.5", HTTP_TIMEOUT_SECONDS="2")
    async with hasty(**settings) as balancer:
        host, _, port = balancer.url.removeprefix("http://").partition(":")

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: asyncio.Event) -> None:
            while data := await reader.read(65_536):
                moved.set()
                writer.write(data)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs, ours = await asyncio.open_connection(host, int(port))
            moved = asyncio.Event()
            ways = [asyncio.ensure_future(pass_on(reader, ours, moved)),
                    asyncio.ensure_future(pass_on(theirs, writer, moved))]  # fmt: skip
            try:
                while not any(way.done() for way in ways):
                    moved.clear()
                    await asyncio.wait_for(moved.wait(), ends_after)
            finally:
                for way in ways:
                    way.cancel()
                writer.close()
                ours.close()

        proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = "ws://127.0.0.1:%d" % proxy.sockets[0].getsockname()[1]  # noqa: UP031 - the port
        async with connect(address + GA, ping_interval=None) as socket:
            await until(socket, "session.created")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 4)
            await socket.send(RESPOND)
            await until(socket, "response.done")
        proxy.close()


async def test_sessions_and_plain_requests_share_a_backend(three: list[Simulator]) -> None:
    async with hasty(**backends(three[0])) as balancer, http_client(balancer, "any") as sdk, v1(balancer) as talking:
        async with talking.realtime.connect(model="voice") as connection:
            for _ in range(5):
                assert await turn(connection)
                reply = await sdk.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
                assert reply.choices
        with pytest.raises(ConnectionClosed):
            await connection.recv()
