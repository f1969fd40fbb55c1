"""Faults as they look on the wire."""

import asyncio
import contextlib
from email.utils import parsedate_to_datetime

import orjson
import pytest
from sim_asks import CHAT

STREAM = {**CHAT, "stream": True}


async def ask(sim, body=CHAT, version="1.1", **headers) -> asyncio.StreamReader:
    """Send one chat completion and hand back what can be read; the connection closes with the test."""
    data = orjson.dumps(body)
    fields = {"Host": "sim", "Content-Length": str(len(data)), **headers}
    head = "".join(
        [f"POST /openai/v1/chat/completions HTTP/{version}\r\n", *[f"{k}: {v}\r\n" for k, v in fields.items()]]
    )
    host, port = sim.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + b"\r\n" + data)
    reader.writer = writer
    return reader


async def everything(sim, body=CHAT, **more) -> bytes:
    """All bytes until the connection ends, however it does."""
    reader = await ask(sim, body, **more)
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := await reader.read(65536):
            got += piece
    reader.writer.close()
    return got


def head_of(raw: bytes) -> dict[str, str]:
    lines = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


async def struck(start, kind: str, body=CHAT) -> bytes:
    sim = await start(faults=(kind,))
    raw = await everything(sim, body, Connection="close")
    assert sim.faults.happened == {kind.split(":")[0]: 1}
    assert sim.received[0].faults == (kind.split(":")[0],)
    return raw


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        *[(kind, int(kind)) for kind in ("400", "401", "403", "404", "408", "500", "502", "503", "504", "429")],
        *[("content-filter", 400), ("429-capacity", 429), ("429-ptu", 429), ("429-new", 429)],
    ],
)
async def test_an_error_comes_in_azures_shape(start, kind, status):
    raw = await struck(start, kind)
    assert raw.startswith(b"HTTP/1.1 %d " % status)
    assert orjson.loads(raw.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("429:7", {"retry-after": "7", "retry-after-ms": "7000"}),
        ("429-seconds:7", {"retry-after": "7"}),
        ("429-ms:0.25", {"retry-after-ms": "250"}),
        ("429-x-ms:7", {"x-ms-retry-after-ms": "7000"}),
        ("429-float:1.5", {"retry-after": "1.500"}),
        ("429-reset:7", {"x-ratelimit-reset-requests": "7", "x-ratelimit-reset-tokens": "7"}),
        ("429-reset-text:90", {"x-ratelimit-reset-requests": "1m30s", "x-ratelimit-reset-tokens": "1m30s"}),
        ("429-reset-text:0.25", {"x-ratelimit-reset-requests": "250ms", "x-ratelimit-reset-tokens": "250ms"}),
        ("429-bare", {}),
        ("429-zero", {"retry-after": "0"}),
        ("429-day", {"retry-after": "86400", "retry-after-ms": "86400000"}),
        ("503", {}),
        ("503:3", {"retry-after": "3", "retry-after-ms": "3000"}),
        ("500", {}),
    ],
)
async def test_a_refusal_says_when_to_come_back_in_the_form_asked_for(start, kind, fields):
    head = head_of(await struck(start, kind))
    hints = {name: value for name, value in head.items() if "retry-after" in name or "ratelimit" in name}
    assert hints == fields


async def test_a_date_is_as_far_from_the_replys_own_date_as_the_wait(start):
    head = head_of(await struck(start, "429-date:7"))
    wait = parsedate_to_datetime(head["retry-after"]) - parsedate_to_datetime(head["date"])
    assert wait.total_seconds() == 7


async def test_minus_one_is_said_as_the_responses_api_was_seen_to(start):
    head = head_of(await struck(start, "429-minus"))
    assert head["x-ratelimit-limit-tokens"] == head["x-ratelimit-remaining-requests"] == "-1"
    assert head["x-ratelimit-reset-tokens"] == "0"
    assert "retry-after" not in head


@pytest.mark.parametrize("kind", ["cut-before-head", "reset-before-head"])
async def test_a_cut_before_the_head_leaves_nothing(start, kind):
    assert await struck(start, kind) == b""


async def test_a_cut_within_the_head_leaves_it_unfinished(start):
    raw = await struck(start, "cut-mid-head")
    assert raw.startswith(b"HTTP/1.1 200")
    assert b"\r\n\r\n" not in raw


async def test_garbage_is_no_http(start):
    assert not (await struck(start, "garbage")).startswith(b"HTTP")


async def test_a_bad_status_line_has_no_status(start):
    assert (await struck(start, "bad-status")).startswith(b"HTTP/1.1 2OO")


async def test_a_huge_head_is_huge(start):
    assert len(await struck(start, "huge-head")) > 1_000_000


async def test_a_cut_body_is_shorter_than_promised(start):
    raw = await struck(start, "cut-mid-body")
    promised = int(head_of(raw)["content-length"])
    assert 0 < len(raw.partition(b"\r\n\r\n")[2]) < promised


@pytest.mark.parametrize("kind", ["cut-mid-body", "cut-mid-stream", "reset-mid-stream"])
async def test_a_cut_stream_has_content_and_no_end(start, kind):
    raw = await struck(start, kind, STREAM)
    if kind != "reset-mid-stream":  # a reset may overtake what was sent
        assert b'"content":" endpoint"' in raw
    assert not raw.endswith(b"0\r\n\r\n")
    assert b"[DONE]" not in raw


async def test_two_framings_come_together(start):
    head = head_of(await struck(start, "cl-te"))
    assert head["transfer-encoding"] == "chunked"
    assert "content-length" in head


async def test_two_lengths_differ(start):
    raw = await struck(start, "two-lengths")
    assert raw.lower().count(b"content-length") == 2


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_bad_chunk_has_no_size(start, body):
    assert b"\r\nnot-a-size\r\n" in await struck(start, "bad-chunk", body)


async def test_silence_lasts_until_the_client_leaves(start):
    sim = await start(faults=("silence",))
    reader = await ask(sim)
    await sim.until(lambda: sim.counts.in_flight == 1)
    reader.writer.close()
    await reader.writer.wait_closed()
    await sim.until(lambda: sim.counts.in_flight == 0)
    assert (sim.counts.abandoned, sim.received[0].status) == (1, None)


async def test_a_stall_comes_after_half_of_the_answer(start):
    sim = await start(faults=("stall-mid-body",))
    reader = await ask(sim, STREAM)
    await reader.readuntil(b'"content":" endpoint"')
    assert sim.counts.in_flight == 1
    reader.writer.close()


async def test_refused_connections_come_back_on_the_same_port(start, clock):
    over = asyncio.Event()

    async def until_over(seconds: float) -> None:
        clock.slept.append(seconds)
        await over.wait()

    clock.sleep = until_over
    sim = await start(faults=("refuse:3*1",))
    assert await everything(sim) == b""
    with pytest.raises(ConnectionRefusedError):
        await ask(sim)
    over.set()
    while True:
        try:
            raw = await everything(sim, Connection="close")
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0)
    assert raw.startswith(b"HTTP/1.1 200")
    assert clock.slept == [3.0]


async def test_down_and_up_can_be_called(start):
    sim = await start()
    sim.down()
    with pytest.raises(ConnectionRefusedError):
        await ask(sim)
    await sim.up()
    assert (await everything(sim, Connection="close")).startswith(b"HTTP/1.1 200")


async def test_a_slow_head_and_a_slow_body_take_their_time(start, clock):
    sim = await start(faults=("slow-head:3", "slow-body:0.5"))
    await everything(sim, Connection="close")
    assert clock.slept == [3.0, 0.5]


async def test_a_throttled_stream_may_carry_a_retry_after(start):
    raw = await struck(start, "stream-throttle:7", STREAM)
    assert head_of(raw)["retry-after"] == "7"
    assert b'"code":"429"' in raw
    assert raw.endswith(b"0\r\n\r\n")


async def test_a_streams_fault_spares_other_requests(start):
    sim = await start(faults=("stream-throttle",))
    assert (await everything(sim, Connection="close")).startswith(b"HTTP/1.1 200")
    assert sim.faults.happened == {}


async def test_a_request_can_bring_its_own_fault(start):
    sim = await start()
    raw = await everything(sim, Connection="close", **{"x-sim-fault": "openai1=503:2"})
    assert head_of(raw)["retry-after"] == "2"
    assert (await everything(sim, Connection="close", **{"x-sim-fault": "what"})).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_body_may_end_with_the_connection(start, body):
    raw = await struck(start, "until-close", body)
    assert not {"content-length", "transfer-encoding"} & head_of(raw).keys()


async def test_an_old_client_gets_a_stream_without_chunks(start):
    raw = await everything(await start(), STREAM, version="1.0")
    assert "transfer-encoding" not in head_of(raw)
    assert raw.endswith(b"data: [DONE]\n\n")


async def test_early_hints_come_first(start):
    raw = await struck(start, "early-hints")
    assert raw.startswith(b"HTTP/1.1 103 ")
    assert b"HTTP/1.1 200 OK" in raw


async def test_gzip_is_really_gzip(start):
    import gzip

    raw = await struck(start, "gzip")
    assert orjson.loads(gzip.decompress(raw.partition(b"\r\n\r\n")[2]))["object"] == "chat.completion"


async def test_the_connection_can_be_ended_after_a_reply(start):
    sim = await start(faults=("close",))
    assert head_of(await everything(sim))["connection"] == "close"


async def test_a_client_that_waits_for_100_gets_it(start):
    sim = await start()
    raw = await everything(sim, Expect="100-continue", Connection="close")
    assert raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
