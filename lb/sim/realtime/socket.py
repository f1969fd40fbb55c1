"""A WebSocket on the wire: grants the handshake, lets a session talk, keeps the books, goes wrong on demand."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from lb.sim.decision import Asked, Decision
from lb.sim.faults import Fault
from lb.sim.realtime.opening import Opening
from lb.sim.realtime.session import RealtimeSession, Said
from lb.sim.records import Received
from lb.sim.stage import Stage

MOST_BYTES = 32 * 1024 * 1024
"""Of one message; Azure takes events of 15 MiB."""
PROTOCOLS = ("realtime", "openai-beta.realtime-v1")


class Socket:
    """One connection, from its handshake to its end."""

    def __init__(self, request: web.BaseRequest, stage: Stage, record: Received, decision: Decision) -> None:
        self._request = request
        self._stage = stage
        self._record = record
        self._decision = decision
        plan = decision.plan.fault
        self._fault: Fault | None = plan.fault if plan is not None else None
        # Extensions are granted as they are asked for, so that a proxy in between has to care.
        self._ws = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=MOST_BYTES, compress=True)

    async def serve(self, opening: Opening) -> web.StreamResponse:
        """Talk until one side leaves."""
        endpoint = self._stage.endpoint
        self._ws.headers["x-ms-region"] = endpoint.settings.region
        self._ws.headers["apim-request-id"] = endpoint.ids.uuid()
        await self._ws.prepare(self._request)
        self._record.status = 101
        endpoint.counts.statuses[101] += 1
        talk = self._realtime(opening) if opening.operation == "realtime" else self._responses(opening)
        await talk
        return self._ws

    async def _realtime(self, opening: Opening) -> None:
        endpoint, stage = self._stage.endpoint, self._stage

        def charge(tokens: int) -> float | None:
            standing = endpoint.charge(opening.deployment, tokens, stage.clock())
            return standing.wait if standing.refused else None

        session = RealtimeSession(endpoint.desk(stage.today()), charge, preview=opening.preview)
        await self._say(session.opened())
        async for said in self._messages():
            try:
                await self._say(session.heard(said))
            except (AttributeError, TypeError, KeyError, ValueError):
                await self._say(iter((session.wrong("A field has a value of the wrong type.", "invalid_value", said),)))
            cost, session.cost = session.cost, None
            if cost is not None:
                decision = self._decision
                endpoint.ledger.add(decision.tenant, opening.deployment, "realtime", cost)

    async def _responses(self, opening: Opening) -> None:
        """Each `response.create` is a request of the Responses API that streams."""
        endpoint, stage = self._stage.endpoint, self._stage
        headers = {name: value for name, value in self._request.headers.items() if name.lower() not in _NOT_AGAIN}
        async for said in self._messages():
            body = orjson.dumps({**said, "stream": True})
            asked = Asked("POST", "/openai/v1/responses", headers, body)
            decision = endpoint.decide(asked, stage.clock(), stage.today())
            if decision.answer is None:
                refusal = decision.refusal
                error = refusal.body if refusal is not None else {"error": {"code": "500", "message": "It failed."}}
                await self._say(iter(({"type": "error", "status": refusal.status if refusal else 500, **error},)))
                continue
            await self._say(orjson.loads(event.data) for event in decision.answer.events)
            usage, deployment = decision.answer.usage, decision.spot.deployment
            endpoint.ledger.add(self._decision.tenant, deployment, "responses", usage)

    async def _messages(self) -> Any:
        async for message in self._ws:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                said = orjson.loads(message.data)
            except orjson.JSONDecodeError:
                said = None
            if isinstance(said, dict):
                yield said
            else:
                await self._ws.close(code=1007, message=b"not JSON")

    async def _say(self, events: Iterator[Said]) -> None:
        for number, event in enumerate(events):
            if self._fault is not None and number == _AT and not event["type"].startswith("session"):
                await self._go_wrong(self._fault)
                return
            await self._ws.send_str(orjson.dumps(event).decode())
            await self._stage.pause(self._stage.endpoint.settings.token_delay)

    async def _go_wrong(self, fault: Fault) -> None:
        transport = self._request.transport
        if fault.kind == "socket-silence":
            await asyncio.Event().wait()
        elif fault.kind == "socket-close":
            await self._ws.close(code=int(fault.value or 1011), message=b"as you asked")
        elif transport is not None and fault.kind == "socket-mid-frame":
            transport.write(b"\x81\x7e\x01\x00half of a frame")
            transport.close()
        elif transport is not None:
            transport.close()


_AT = 3
"""Which event of an answer a fault takes the place of: the client has seen its beginning."""
_NOT_AGAIN = frozenset({"x-sim-fault", "upgrade", "connection"})
