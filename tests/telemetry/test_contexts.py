"""By which fields backends learn of the spans that are theirs, and what each of these spans tells."""

import re
from collections.abc import Sequence

import pytest
from fakes import CHAT, ok, request
from test_spans import Recorded

from lb.balancing.backend import Backend
from lb.exchange import BodyStream, Reply, Request
from lb.spine.unasked import AskForUsage
from lb.wire.address import Address
from lb.wire.request_writer import render_head

TRACE = "a" * 32
SAID = [
    (b"Traceparent", b"00-" + TRACE.encode() + b"-" + b"b" * 16 + b"-01"),
    (b"tracestate", b"v=1"),
    (b"X-Trace", b"y"),
]
STREAMED = b'{"stream":true,"messages":[],"model":"chat"}'


class Sending(Recorded):
    """Recorded requests, and their heads as they go out to the backends."""

    def __init__(self, scripts: dict[str, Sequence[object]]) -> None:
        super().__init__(scripts)
        self.heads: list[tuple[str, bytes]] = []
        self._answer = self.transport.send
        self.transport.send = self.send  # type: ignore[method-assign]

    async def send(self, backend: Backend, asked: Request, target: bytes, body: bytes | BodyStream) -> Reply:
        head = render_head(Address.parse(backend.url), b"", asked, target, body)
        self.heads.append((backend.name, head))
        return await self._answer(backend, asked, target, body)


@pytest.mark.parametrize(
    ("target", "more", "body"),
    [
        (CHAT, [], b"{}"),
        (CHAT, [(b"Accept-Encoding", b"gzip")], STREAMED),
        (b"/models/chat/completions?api-version=1", [(b"azureml-model-deployment", b"chat")], b'{"model":"chat"}'),
    ],
    ids=["as it came", "asked for its usage", "sent to a deployment by name"],
)
async def test_a_backend_is_told_of_one_span_however_the_request_was_changed(
    target: bytes, more: list[tuple[bytes, bytes]], body: bytes
) -> None:
    story = Sending({"a": [ok()]})
    story.gateway.ask_for_usage = AskForUsage(always=True)
    await story.ask(request(target, body=body, headers=[*SAID, *more]))
    ((_, head),) = story.heads
    span = story.spans[1].span_id.hex()
    assert re.findall(rb"(?im)^trace.*\r\n", head) == [
        f"traceparent: 00-{TRACE}-{span}-01\r\n".encode(),
        b"tracestate: v=1\r\n",
    ]
    assert b"\r\nX-Trace: y\r\n" in head
