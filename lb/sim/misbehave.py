"""Replies that no server should give: what is written in place of a head, or instead of the rest of a body."""

import asyncio

from lb.sim.errors import Fields
from lb.sim.wire import Wire, Written, render_head

HALVED = ("cut-mid-body", "cut-mid-stream", "reset-mid-stream", "stall-mid-body", "bad-chunk")
"""Faults that let half of an answer through."""


async def instead(kind: str, wire: Wire) -> Written:
    """Do what the catalogue says of `kind` before any head was written."""
    wire.last()
    match kind:
        case "silence":
            await silence()
        case "reset-before-head":
            return wire.cut(reset=True)
        case "cut-mid-head":
            wire.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/js")
        case "garbage":
            wire.raw(b"\x16\x03\x01 this is not HTTP \x00\xff\r\n\r\n")
        case "bad-status":
            wire.raw(b"HTTP/1.1 2OO Fine\r\nContent-Length: 2\r\n\r\n{}")
        case "huge-head":
            fields = [(f"x-filler-{i}", "x" * 1000) for i in range(1000)]
            wire.raw(render_head(200, [*fields, ("Content-Length", "2")]) + b"{}")
    return wire.cut()


def misframed(kind: str, wire: Wire, fields: Fields, data: bytes) -> Written:
    """Write a body that is framed in two ways at once, which a careful client refuses."""
    wire.last()
    length = ("Content-Length", str(len(data)))
    if kind == "two-lengths":
        wire.raw(render_head(200, [*fields, length, ("Content-Length", str(len(data) + 7))]) + data)
    else:
        head = render_head(200, [*fields, length, ("Transfer-Encoding", "chunked")])
        wire.raw(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
    return wire.cut()


async def afterwards(kind: str, wire: Wire) -> Written:
    """Do what the catalogue says of `kind` once half of the body is out."""
    wire.last()
    if kind == "stall-mid-body":
        await silence()
    if kind == "bad-chunk":
        wire.raw(b"not-a-size\r\ndata: {}\n\n\r\n")
    return wire.cut(reset=kind == "reset-mid-stream")


async def silence() -> None:
    """Wait for the client to give up."""
    await asyncio.Event().wait()
