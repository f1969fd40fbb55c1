"""A tap sees every byte of a body, each behind its write."""

import asyncio

import pytest
from front_door import ScriptedReply

from lb.exchange import BackendFailed
from lb.spine.unasked import Unasked
from lb.wire.relay import WaitingClient

LARGE = b"x" * 100_000


class Written(asyncio.WriteTransport):
    """Notes what is written, and what the tap is told, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, bytes]] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told.append(("written", bytes(data)))

    def close(self) -> None:
        self.told.append(("closed", b""))

    def data(self, chunk: bytes) -> None:
        self.told.append(("tapped", chunk))

    def tapped(self) -> bytes:
        return b"".join(data for what, data in self.told if what == "tapped")

    def in_order(self) -> bool:
        """Was every byte that the tap saw written before?"""
        written = tapped = b""
        for what, data in self.told:
            if what == "written":
                written += data
            elif what == "tapped":
                tapped += data
                if data not in written or len(written) < len(tapped):
                    return False
        return True


async def relayed(reply: ScriptedReply) -> Written:
    written = Written()
    client = WaitingClient(written, "POST", True, True)
    client.tap = written
    await client.relay(reply, b"")
    return written


@pytest.mark.parametrize("length", [None, 6 + len(LARGE)])
async def test_a_whole_body_is_seen_behind_its_one_write(length: int | None) -> None:
    written = await relayed(ScriptedReply(b"abc", b"def", LARGE, length=length))
    assert [what for what, _ in written.told] == ["written", "tapped"]
    assert written.tapped() == b"abcdef" + LARGE


@pytest.mark.parametrize("length", [None, 6 + len(LARGE)])
async def test_each_piece_of_a_stream_is_seen_behind_its_write(length: int | None) -> None:
    reply = ScriptedReply(b"abc", ended=False, length=length)
    relaying = asyncio.create_task(relayed(reply))
    for piece in (b"", b"def", LARGE):
        reply.feed(piece)
        await asyncio.sleep(0)
    reply.end()
    written = await relaying
    assert written.tapped() == b"abcdef" + LARGE
    assert written.in_order()


async def test_what_came_before_a_cut_was_seen() -> None:
    reply = ScriptedReply(b"abc", ended=False)
    written = Written()
    client = WaitingClient(written, "POST", True, True)
    client.tap = written
    reply.fail()
    with pytest.raises(BackendFailed):
        await client.relay(reply, b"")
    assert written.tapped() == b"abc"


async def test_without_a_tap_nothing_differs_on_the_wire() -> None:
    seen = []
    for tap in (True, False):
        written = Written()
        client = WaitingClient(written, "POST", True, True)
        client.tap = written if tap else None
        await client.relay(ScriptedReply(b"abc", b"def"), b"")
        seen.append([data for what, data in written.told if what == "written"])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("ended", [True, False])
async def test_a_reply_that_loses_a_chunk_is_framed_by_what_goes_out(ended: bool) -> None:
    told, usage = b"data: x\n\n", b'data: {"choices":[],"usage":{}}\n\n'
    reply = ScriptedReply(told, usage, length=len(told + usage), ended=ended)
    if not ended:
        asyncio.get_running_loop().call_soon(reply.end)
    seen = Written()
    written = Written()
    client = WaitingClient(written, "POST", True, True)
    await client.relay(Unasked(reply, seen), b"")
    out = b"".join(data for what, data in written.told if what == "written")
    head, _, body = out.partition(b"\r\n\r\n")
    assert b"content-length" not in head.lower()
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"9\r\ndata: x\n\n\r\n0\r\n\r\n"
    assert seen.tapped() == told + usage
