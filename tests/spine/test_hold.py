"""How the opening of a stream is held: briefly, boundedly, and verbatim."""

import asyncio
import gzip
import zlib

import pytest
from fakes import FakeClient, FakeReply, Story, ok, request, stream, throttled
from virtual import in_virtual_time

from lb.events import Outcome
from lb.exchange import BackendFailed, Blame
from lb.spine.opening import HOLD_BYTES

CREATED = b'event: response.created\r\ndata: {"type":"response.created","response":{"instructions":"%s"}}\r\n\r\n'
FILTER = b'data: {"choices":[],"prompt_filter_results":[]}\n\n'
LIMIT = b'data: {"error":{"code":"429","message":"x"}}\n\n'
CONTENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'


def timed(**scripts: object) -> Story:
    return Story(scripts, clock=asyncio.get_running_loop().time)  # type: ignore[arg-type]


class Noting(FakeClient):
    """Notes when each piece came."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[float, bytes]] = []
        self.begun = asyncio.get_running_loop().time()

    def data(self, chunk: bytes) -> None:
        super().data(chunk)
        self.came.append((asyncio.get_running_loop().time() - self.begun, chunk))


@in_virtual_time
async def test_everything_held_goes_out_verbatim_and_in_order_once_content_comes() -> None:
    pieces = [
        b": hi\n\n",
        CREATED % b"x",
        FILTER[:9],
        FILTER[9:],
        b"\n\n",
        CONTENT,
        1.0,
        b"half an ev",
        b"ent",
        b"no final blank line",
    ]
    story = timed(a=[stream(*pieces)], b=[ok()])
    client = await story.ask(client=Noting())
    assert client.body == b"".join(piece for piece in pieces if isinstance(piece, bytes))
    assert client.came[0][0] == 0.0  # type: ignore[attr-defined]
    assert story.asked == ["a"]
    story.at_rest()


@in_virtual_time
async def test_an_error_after_any_number_of_opening_events_fails_over() -> None:
    story = timed(
        a=[stream(CREATED % (b"y" * 60_000), CREATED % b"", b": x\n\n", FILTER, LIMIT, CONTENT)], b=[ok(b"b")]
    )
    assert (await story.ask()).body == b"b"


@pytest.mark.parametrize("size", range(1, len(FILTER + LIMIT) + 1, 3))
def test_an_error_fails_over_wherever_its_bytes_are_split(size: int) -> None:
    @in_virtual_time
    async def tell() -> None:
        text = (FILTER + LIMIT).replace(b"\n", b"\r\n")
        story = timed(a=[stream(*[text[at : at + size] for at in range(0, len(text), size)])], b=[ok(b"b")])
        assert (await story.ask()).body == b"b"
        story.at_rest()

    tell()


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_an_error_that_lacks_its_last_blank_line_fails_over(ending: bytes) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = timed(a=[stream(FILTER, LIMIT.rstrip() + ending)], b=[ok(b"b")])
        assert (await story.ask()).body == b"b"

    tell()


@in_virtual_time
async def test_a_stream_is_held_for_a_second_at_most_from_its_first_byte_on() -> None:
    story = timed(a=[stream(30.0, CREATED % b"", 0.6, FILTER, 0.6, LIMIT)], b=[ok()])
    client = Noting()
    await story.ask(client=client)
    assert client.body == CREATED % b"" + FILTER + LIMIT
    assert [round(at, 3) for at, _ in client.came] == [31.0, 31.0, 31.2]
    assert story.asked == ["a"]


@in_virtual_time
async def test_a_trickle_of_bytes_does_not_prolong_the_hold() -> None:
    drops = [piece for _ in range(50) for piece in (b": x\n", 0.3)]
    client = Noting()
    await timed(a=[stream(*drops)]).ask(client=client)
    assert client.came[0][0] == pytest.approx(1.0)


@in_virtual_time
async def test_no_more_than_a_quarter_of_a_megabyte_is_held() -> None:
    client = Noting()
    whole = CREATED % (b"z" * HOLD_BYTES)
    story = timed(a=[stream(whole[:200_000], whole[200_000:], 0.5, LIMIT)], b=[ok()])
    await story.ask(client=client)
    assert client.body == whole + LIMIT
    assert client.came[0][0] == 0.0


@in_virtual_time
async def test_an_error_in_the_piece_that_fills_the_hold_still_counts() -> None:
    story = timed(a=[stream(CREATED % (b"z" * 100_000) + LIMIT + b": x\n\n" * 40_000)], b=[ok(b"b")])
    assert (await story.ask()).body == b"b"


@in_virtual_time
async def test_after_the_first_relayed_byte_nothing_fails_over() -> None:
    story = timed(a=[stream(CONTENT, 0.1, LIMIT)], b=[ok()])
    assert (await story.ask()).body == CONTENT + LIMIT
    assert story.asked == ["a"]
    assert {row.state for row in story.pool.snapshot(story.clock())} == {"available"}


@in_virtual_time
async def test_a_cut_after_the_first_relayed_byte_is_a_cut_for_the_client() -> None:
    story = timed(a=[stream(CONTENT, BackendFailed(Blame.LOST, "reset by peer"))], b=[ok()])
    client = await story.ask()
    assert (client.body, client.cut) == (CONTENT, True)
    assert story.asked == ["a"]
    assert (story.finished.outcome, story.finished.detail, story.finished.status) == (Outcome.CUT, "reset by peer", 200)
    story.at_rest()


@in_virtual_time
async def test_a_cut_while_nothing_was_relayed_fails_over() -> None:
    story = timed(a=[stream(CREATED % b"", BackendFailed(Blame.LOST, "x"))], b=[ok(b"b")])
    client = await story.ask()
    assert (client.body, client.cut) == (b"b", False)


@in_virtual_time
async def test_a_stream_that_ends_without_content_is_relayed() -> None:
    client = await timed(a=[stream(CREATED % b"")], b=[ok()]).ask()
    assert client.body == CREATED % b""
    assert (await timed(a=[stream()], b=[ok(b"b")]).ask()).body == b""


PACKED = {
    "gzip": gzip.compress(FILTER + LIMIT),
    "x-gzip": gzip.compress(FILTER + LIMIT),
    "deflate": zlib.compress(FILTER + LIMIT),
}


@pytest.mark.parametrize("coding", PACKED)
def test_a_compressed_stream_is_understood(coding: str) -> None:
    @in_virtual_time
    async def tell() -> None:
        text = PACKED[coding]
        story = timed(a=[stream(text[:20], text[20:], headers=[("Content-Encoding", coding)])], b=[ok(b"b")])
        assert (await story.ask()).body == b"b"

    tell()


@pytest.mark.parametrize(
    ("coding", "text"),
    [("br", b"\x0b\x02\x80"), ("gzip", b"not gzip at all"), ("gzip", gzip.compress(b"x" * 10_000_000))],
)
def test_a_stream_packed_in_a_way_that_we_cannot_read_is_relayed(coding: str, text: bytes) -> None:
    @in_virtual_time
    async def tell() -> None:
        client = await timed(a=[stream(text, headers=[("Content-Encoding", coding)])], b=[ok()]).ask()
        assert client.body == text

    tell()


@in_virtual_time
async def test_the_wait_of_a_throttled_stream_is_read_from_its_head() -> None:
    story = timed(a=[stream(LIMIT, headers=[("retry-after-ms", "4200")])], b=[throttled(60)])
    client = await story.ask()
    assert client.headers[b"retry-after-ms"] == b"4200"


@in_virtual_time
async def test_headroom_is_noted_from_a_stream_as_from_any_reply() -> None:
    told = [("x-ratelimit-remaining-tokens", "25"), ("x-ratelimit-limit-tokens", "100")]
    story = timed(a=[stream(CONTENT, headers=told)])
    await story.ask()
    assert [row.headroom for row in story.pool.snapshot(story.clock()) if row.deployment == "chat"] == [0.25]


@in_virtual_time
async def test_content_that_is_no_event_stream_is_not_held() -> None:
    client = Noting()
    story = Story({"a": [_slow_json]}, clock=asyncio.get_running_loop().time)
    await story.ask(request(), client)
    assert client.came[0] == (0.0, b'{"error":')


def _slow_json() -> object:
    return FakeReply(200, [("Content-Type", "application/json")], [b'{"error":', 5.0, b'{"code":"429"}}'])
