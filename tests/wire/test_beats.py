"""A comment may stand between two events of a silent stream, and nowhere else."""

import asyncio

import pytest

from lb.exchange import Headers
from lb.wire.beats import COMMENT, Beats
from lb.wire.relay import WaitingClient
from tests.wire.front_door import GOOD, ScriptedReply, open_door, relaying

EVENTS: Headers = ((b"Content-Type", b"text/event-stream; charset=utf-8"),)
EVENT = b'data: {"n":1}\n\n'
FRAMED = b"%x\r\n%b\r\n" % (len(COMMENT), COMMENT)


class Wire(asyncio.WriteTransport):
    """Keeps what is written; `unsent` is what the client has not read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:  # type: ignore[override]
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written


class Streaming:
    """A stream of events that is being relayed, in a time that the test turns."""

    def __init__(self, reply: ScriptedReply, *, modern: bool = True, seconds: float = 10) -> None:
        self.wire = Wire()
        self.beats = Beats(seconds, 1000.0)
        self.client = WaitingClient(self.wire, "POST", modern, True)
        self.client.beats = self.beats
        self.reply = reply
        self.task = asyncio.create_task(self.client.relay(reply, b""))

    async def says(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.reply.feed(piece)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.wire.take()

    def after(self, seconds: float) -> bytes:
        """What went out by itself when so much time has passed."""
        for _ in range(int(seconds)):
            self.beats.look(self.beats.now + 1)
        return self.wire.take()

    async def end(self) -> bytes:
        self.reply.end()
        await self.task
        return self.wire.take()


def events(**more: object) -> ScriptedReply:
    return ScriptedReply(**{"headers": EVENTS, "ended": False, **more})  # type: ignore[arg-type]


async def test_a_silent_stream_gets_a_comment_each_time_the_silence_has_lasted() -> None:
    stream = Streaming(events())
    await stream.says(EVENT)
    assert stream.after(9) == b""
    assert stream.after(1) == FRAMED
    assert stream.after(9) == b""
    assert stream.after(11) == FRAMED * 2
    await stream.says(EVENT)
    assert stream.after(9) == b""
    assert await stream.end() == b"0\r\n\r\n"
    assert stream.after(100) == b"", "nothing follows the end"
    assert not stream.beats.running


@pytest.mark.parametrize(
    ("pieces", "between"),
    [
        ([b"data: 1\n\n"], True),
        ([b"data: 1\n", b"\n"], True),
        ([b"data: 1", b"\n", b"\n"], True),
        ([b"data: 1\r\n\r\n"], True),
        ([b"data: 1\r\n\r", b"\n"], True),
        ([b"data: 1\r\r"], True),
        ([b": a comment of its own\n\n"], True),
        ([b"data: 1\n"], False),
        ([b"data: 1\r\n"], False),
        ([b"data: 1\r\n\r"], False),
        ([b"data: 1\n\nda"], False),
        ([b"data: 1\n\n", b"event: x\n"], False),
        ([b"\xef\xbb\xbf"], False),
        ([], False),
    ],
)
async def test_it_stands_only_where_an_event_has_ended(pieces: list[bytes], between: bool) -> None:
    stream = Streaming(events())
    await stream.says(*pieces)
    assert stream.after(30) == (FRAMED * 3 if between else b"")
    await stream.end()


@pytest.mark.parametrize(
    "reply",
    [
        events(headers=((b"Content-Type", b"application/json"),)),
        events(headers=()),
        events(headers=(*EVENTS, (b"Content-Encoding", b"gzip"))),
        events(length=14),
    ],
    ids=["json", "untold", "packed", "of a length"],
)
async def test_other_replies_get_none(reply: ScriptedReply) -> None:
    stream = Streaming(reply)
    await stream.says(EVENT)
    assert stream.after(100) == b""
    await stream.end()


async def test_a_client_that_is_behind_gets_none_until_it_has_caught_up() -> None:
    stream = Streaming(events())
    await stream.says(EVENT)
    stream.wire.unsent = 1
    assert stream.after(30) == b""
    stream.wire.unsent = 0
    assert stream.after(10) == FRAMED
    await stream.end()


async def test_a_client_of_http_1_0_gets_it_without_a_frame() -> None:
    stream = Streaming(events(), modern=False)
    await stream.says(EVENT)
    assert stream.after(10) == COMMENT
    stream.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream.task
    assert not stream.beats.running


async def test_who_watches_the_reply_sees_no_comment() -> None:
    stream = Streaming(events())
    seen: list[bytes] = []
    stream.client.tap = type("Seen", (), {"data": staticmethod(seen.append)})
    await stream.says(EVENT)
    assert stream.after(10) == FRAMED
    await stream.says(EVENT)
    await stream.end()
    assert seen == [EVENT, EVENT]


async def test_the_listener_looks_after_its_streams() -> None:
    async with open_door(keepalive_seconds=0.05) as door:
        reply = events()
        reply.feed(EVENT)
        door.gateway.serve = relaying(reply)
        client = await door.connect()
        await client.send(GOOD)
        await client.head()
        frame = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
        assert await client.reader.readexactly(len(frame) + len(FRAMED)) == frame + FRAMED
        reply.end()
        assert (await client.reader.readuntil(b"0\r\n\r\n")).replace(FRAMED, b"") == b"0\r\n\r\n"
