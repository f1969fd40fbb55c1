"""From a request that aiohttp has read to a reply that is out: decide, wait, write, keep the books."""

import asyncio
import gzip
import zlib

import orjson
from aiohttp import web

from lb.sim import errors, misbehave
from lb.sim.catalogue import ERRORS, THROTTLES, Scene
from lb.sim.control import Control
from lb.sim.decision import Asked
from lb.sim.faults import Fault
from lb.sim.realtime.socket import Socket
from lb.sim.records import Received
from lb.sim.reply import Reply
from lb.sim.stage import Stage
from lb.sim.wire import CLOSE, Wire, Written

DEFAULT_WAIT = 10.0
"""Seconds that a 429 on demand names when it is not told any."""


class Service:
    """The one handler of a simulator's server."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._endpoint = stage.endpoint
        self._control = Control(stage.endpoint)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        wire = Wire(request)
        try:
            body = await _read(request, wire)
            if request.raw_path.startswith("/_sim"):
                return self._answer_control(request, wire, body)
            return await self._counted(request, wire, body)
        except (ConnectionError, web.RequestPayloadError):
            return CLOSE

    def _answer_control(self, request: web.BaseRequest, wire: Wire, body: bytes) -> Written:
        status, told = self._control(request.method, request.raw_path, body)
        data = orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        wire.head(status, [("Content-Type", "application/json")], len(data))
        wire.data(data)
        return wire.end()

    async def _counted(self, request: web.BaseRequest, wire: Wire, body: bytes) -> web.StreamResponse:
        now = self._stage.clock()
        record = Received(request.method, request.raw_path, request.raw_headers, body, now, _port(request))
        counts = self._endpoint.counts
        self._endpoint.received.add(record)
        counts.begin()
        self._stage.changed()
        try:
            return await self._decided(request, wire, record)
        except (asyncio.CancelledError, ConnectionError):
            counts.abandoned += 1
            raise
        finally:
            counts.end()
            self._stage.changed()

    async def _decided(self, request: web.BaseRequest, wire: Wire, record: Received) -> web.StreamResponse:
        asked = Asked(request.method, request.raw_path, request.headers, _plain(request, record.body))
        decision = self._endpoint.decide(asked, self._stage.clock(), self._stage.today())
        record.operation, record.deployment = decision.operation, decision.spot.deployment
        self._endpoint.counts.operations[decision.operation or "other"] += 1
        self._endpoint.counts.throttled += decision.throttled
        reply = Reply(self._stage, wire, record, decision, request.headers.get("x-ms-client-request-id"))
        record.faults = decision.plan.kinds
        if decision.plan.fault is not None:
            fault = decision.plan.fault.fault
            if fault.scene is Scene.INSTEAD:
                await reply.begin(answers=False)
                return await self._instead(reply, fault)
        if decision.opening is not None and decision.refusal is None:
            await reply.begin(answers=True)
            return await Socket(request, self._stage, record, decision).serve(decision.opening)
        return await reply.write()

    async def _instead(self, reply: Reply, fault: Fault) -> Written:
        spot = reply.decision.spot
        if fault.kind == "429":
            return await reply.refuse(errors.throttled(spot, fault.seconds(DEFAULT_WAIT)))
        if fault.kind in THROTTLES:
            wait = fault.seconds(DEFAULT_WAIT)
            return await reply.refuse(errors.throttled_as(fault.kind, spot, wait, self._stage.today()))
        if fault.kind in ERRORS:
            refusal = errors.error(fault.kind)
            fields = [] if fault.value is None else errors.waits(fault.value)
            return await reply.refuse(errors.Refusal(refusal.status, refusal.body, fields))
        if fault.kind == "refuse":
            self._stage.refuse(fault.seconds(1.0))
            return reply.wire.cut()
        return await misbehave.instead(fault.kind, reply.wire)


async def _read(request: web.BaseRequest, wire: Wire) -> bytes:
    if request.headers.get("Expect", "").lower() == "100-continue":
        wire.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await request.content.read() if request.body_exists else b""


def _plain(request: web.BaseRequest, body: bytes) -> bytes:
    """The body as it was before the client compressed it; what cannot be read stays as it is."""
    if request.headers.get("Content-Encoding", "").lower() != "gzip":
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return body


def _port(request: web.BaseRequest) -> int:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer[1] if isinstance(peer, tuple) else 0
