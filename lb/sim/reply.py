"""One reply: its head fields, its pace, its oddities, and the entry in the books when it is over."""

import gzip

import orjson

from lb.sim import misbehave
from lb.sim.answer import Answer, Event
from lb.sim.decision import Decision, Download
from lb.sim.errors import Fields, Refusal, waits
from lb.sim.instream import broken, half
from lb.sim.ledger import Usage
from lb.sim.limits import Standing
from lb.sim.records import Received
from lb.sim.stage import Stage
from lb.sim.style import Style
from lb.sim.wire import Wire, Written

MISFRAMED = ("cl-te", "two-lengths")


class Reply:
    """Writes what was decided about one request."""

    def __init__(self, stage: Stage, wire: Wire, record: Received, decision: Decision, client_id: str | None) -> None:
        self.wire = wire
        self.decision = decision
        self._stage = stage
        self._record = record
        self._client_id = client_id
        self._odd = {rule.fault.kind: rule.fault for rule in decision.plan.odd}
        self._fault = decision.plan.fault.fault if decision.plan.fault else None
        self._kind = self._fault.kind if self._fault else ""

    async def write(self) -> Written:
        """Write whatever was decided, unless that is a fault instead of any answer."""
        decision = self.decision
        await self.begin(answers=decision.refusal is None)
        standing = decision.standing
        if decision.throttled and standing and decision.streams and self._stage.endpoint.settings.throttle_in_stream:
            return await self._refuse_in_stream(standing.wait)
        if decision.refusal is not None:
            return await self.refuse(decision.refusal)
        if isinstance(decision.found, Download):
            return await self._bytes(200, decision.found.content, decision.found.content_type, [])
        if decision.answer is None:
            return await self._whole(200, decision.found, [])
        if decision.answer.body is None:
            return await self._stream(decision.answer)
        if decision.answer.charged:
            self._enter(decision.answer.usage, whole=self._kind not in misbehave.HALVED)
        return await self._whole(200, decision.answer.body, [])

    async def begin(self, answers: bool) -> None:
        """Take the time that it takes until the head, and set what goes for the whole reply."""
        if "early-hints" in self._odd:
            self.wire.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </>; rel=preconnect\r\n\r\n")
        if "close" in self._odd:
            self.wire.last()
        self.wire.until_close = "until-close" in self._odd
        if "slow-head" in self._odd:
            await self._stage.sleep(self._odd["slow-head"].seconds(1.0))
        if answers:
            await self._stage.pause(self._stage.endpoint.settings.latency)

    async def refuse(self, refusal: Refusal) -> Written:
        """Write an error reply."""
        return await self._whole(refusal.status, refusal.body, refusal.fields)

    def _head(self, status: int, fields: Fields, length: int | None) -> None:
        self._told(status)
        self.wire.head(status, fields, length)

    def _told(self, status: int) -> None:
        self._record.status = status
        self._stage.endpoint.counts.statuses[status] += 1

    def _fields(self, content_type: str) -> Fields:
        endpoint = self._stage.endpoint
        fields = [
            ("Content-Type", content_type),
            ("Date", self._stage.date()),
            ("apim-request-id", endpoint.ids.uuid()),
            ("x-request-id", endpoint.ids.uuid()),
            ("x-ms-region", endpoint.settings.region),
        ]
        if self.decision.spot.deployment:
            fields.append(("x-ms-deployment-name", _safe(self.decision.spot.deployment)))
        if self._client_id:
            fields.append(("x-ms-client-request-id", self._client_id))
        if self.decision.standing is not None:
            fields.extend(rate_fields(self.decision.standing))
        return fields

    async def _whole(self, status: int, body: object, extra: Fields) -> Written:
        return await self._bytes(status, orjson.dumps(body), "application/json", extra)

    async def _bytes(self, status: int, data: bytes, content_type: str, extra: Fields) -> Written:
        fields = self._fields(content_type) + extra
        if "gzip" in self._odd:
            data = gzip.compress(data, 1)
            fields.append(("Content-Encoding", "gzip"))
        if self._kind in MISFRAMED:
            self._told(status)
            return misbehave.misframed(self._kind, self.wire, fields, data)
        self._head(status, fields, None if self._kind == "bad-chunk" else len(data))
        middle = len(data) // 2
        self.wire.data(data[:middle] if self._kind in misbehave.HALVED or "slow-body" in self._odd else data)
        if self._kind in misbehave.HALVED:
            return await misbehave.afterwards(self._kind, self.wire)
        if "slow-body" in self._odd:
            await self._stage.sleep(self._odd["slow-body"].seconds(0.05))
            self.wire.data(data[middle:])
        return self.wire.end()

    async def _refuse_in_stream(self, wait: float) -> Written:
        events = broken("stream-throttle", self.decision.spot, (), self._typed)
        self._head(200, self._fields("text/event-stream; charset=utf-8") + waits(wait)[:1], None)
        for data, _ in Style().pieces(events, self._stage.rng):
            self.wire.data(data)
        return self.wire.end()

    @property
    def _typed(self) -> bool:
        return self.decision.operation == "responses"

    async def _stream(self, answer: Answer) -> Written:
        events = self._events(answer)
        style = Style(self._odd)
        fields = self._fields("text/event-stream; charset=utf-8")
        if self._kind.startswith("stream-throttle") and self._fault and self._fault.value is not None:
            fields.extend(waits(self._fault.value)[:1])
        if self._kind in MISFRAMED:
            self._told(200)
            data = b"".join(piece for piece, _ in style.pieces(events, self._stage.rng))
            return misbehave.misframed(self._kind, self.wire, fields, data)
        self._head(200, fields, None)
        sent, whole = 0, False
        try:
            for data, tokens in style.pieces(events, self._stage.rng):
                self.wire.data(data)
                sent += tokens
                await self._breathe()
            whole = not self._kind
        finally:
            if answer.charged and (whole or sent):
                usage = answer.usage if whole else _partly(answer.usage, sent)
                self._enter(usage, whole, answer.reported and style.tells_usage and whole)
        if self._kind in misbehave.HALVED:
            return await misbehave.afterwards(self._kind, self.wire)
        return self.wire.end()

    def _events(self, answer: Answer) -> tuple[Event, ...]:
        if self._kind.startswith("stream-"):
            return broken(self._kind, self.decision.spot, answer.events, self._typed)
        return half(answer.events) if self._kind in misbehave.HALVED else answer.events

    async def _breathe(self) -> None:
        """Wait between two pieces: for a slow client, and as long as the settings or a fault say."""
        if "slow-body" in self._odd:
            await self._stage.sleep(self._odd["slow-body"].seconds(0.05))
        await self._stage.pause(self._stage.endpoint.settings.token_delay)
        await self.wire.drain()

    def _enter(self, usage: Usage, whole: bool = True, reported: bool = True) -> None:
        decision = self.decision
        self._stage.endpoint.ledger.add(
            decision.tenant, decision.spot.deployment, decision.operation, usage, reported=reported, whole=whole
        )


def _partly(usage: Usage, sent: int) -> Usage:
    """What an answer that ended early has cost: the whole prompt, all thinking, and the tokens that went out."""
    return Usage(usage.prompt, sent + usage.reasoning, usage.cached, usage.reasoning)


def _safe(text: str) -> str:
    """A name from a request that may stand in a reply's field."""
    return "".join(char for char in text if " " < char < "\x7f")


def rate_fields(standing: Standing) -> Fields:
    """The `x-ratelimit-*` fields; what has no limit is not mentioned."""
    fields: Fields = []
    for what, limit, left, reset in (
        ("requests", standing.limit.rpm, standing.remaining_requests, standing.reset_requests),
        ("tokens", standing.limit.tpm, standing.remaining_tokens, standing.reset_tokens),
    ):
        if limit is not None:
            fields.append((f"x-ratelimit-limit-{what}", str(limit)))
            fields.append((f"x-ratelimit-remaining-{what}", str(left)))
            if standing.refused:
                fields.append((f"x-ratelimit-reset-{what}", f"{max(1.0, reset):.0f}"))
    return fields
