"""By which fields backends learn of the spans that are theirs, and what each of these spans tells."""

import asyncio
import re
from collections.abc import Sequence

import pytest
from fakes import CHAT, FakeReply, failure, ok, request, status, throttled, when
from test_spans import Recorded

from lb.balancing.affinity import Affinity
from lb.balancing.backend import Backend
from lb.balancing.pins import Pins, size_of
from lb.exchange import Blame, BodyStream, Reply, Request
from lb.spine.lists import Lists
from lb.spine.unasked import AskForUsage
from lb.telemetry.otel.spans import Span
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
        await asyncio.sleep(0)  # as for a connection
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


PAGE = ok(b'{"object":"list","data":[],"has_more":false}')


class Listing(Sending):
    """A list that is made of a page of each backend; all are asked at once."""

    def __init__(self, **answers: object) -> None:
        super().__init__({name: [answer] for name, answer in answers.items()})
        affinity = Affinity(Pins(bytearray(size_of(100))), self.pool.backends)
        self.gateway.lists = Lists(self.failover, affinity)

    async def list(self) -> dict[str, Span]:
        """The span of each backend."""
        await self.ask(request(b"/openai/v1/files", "GET", b"", sized=False, headers=SAID))
        return {str(told["lb.backend"]): span for span, told in zip(self.spans[1:], self.told_of()[1:], strict=True)}


def told(span: Span) -> tuple[object, object, object]:
    pairs = dict(span.fixed.pairs)
    return pairs["lb.verdict"], pairs.get("http.response.status_code"), pairs.get("error.type")


async def test_each_backend_of_a_list_is_told_of_the_span_that_tells_of_it() -> None:
    story = Listing(a=PAGE, b=status(404), c=PAGE)
    spans = await story.list()
    assert {name: told(span) for name, span in spans.items()} == {
        "a": ("relayed", 200, None),
        "b": ("relayed", 404, "404"),
        "c": ("relayed", 200, None),
    }
    assert {name: re.findall(rb"(?im)^trace.*\r\n", head) for name, head in story.heads} == {
        name: [f"traceparent: 00-{TRACE}-{span.span_id.hex()}-01\r\n".encode(), b"tracestate: v=1\r\n"]
        for name, span in spans.items()
    }
    server = story.spans[0]
    assert {(span.trace_id, span.parent_id) for span in spans.values()} == {(server.trace_id, server.span_id)}
    assert story.told_of()[0]["lb.attempts"] == 3


async def test_the_span_of_a_page_ends_when_that_page_was_read() -> None:
    slow = asyncio.Event()
    story = Listing(a=PAGE, b=when(slow, PAGE))
    asking = asyncio.create_task(story.list())
    for _ in range(20):  # enough for the page of a
        await asyncio.sleep(0)
    story.clock.now += 5  # type: ignore[attr-defined]
    slow.set()
    spans = await asking
    assert {name: (span.end - span.start) / 1e9 for name, span in spans.items()} == {"a": 0, "b": 5}


async def test_pages_that_nobody_waits_for_any_longer_are_not_told_as_refused() -> None:
    spans = await Listing(a=when(asyncio.Event(), PAGE), b=throttled(7), c=PAGE).list()
    assert {name: (*told(span), span.failed) for name, span in spans.items()} == {
        "a": ("abandoned", None, "abandoned", False),
        "b": ("throttled", 429, "429", True),
        "c": ("relayed", 200, None, False),
    }


async def test_a_page_that_breaks_off_fails_its_own_span_only() -> None:
    broken = FakeReply(200, [], [b"{", failure(Blame.LOST, "lost")()])
    spans = await Listing(a=PAGE, b=broken).list()
    assert {name: (*told(span), span.failed) for name, span in spans.items()} == {
        "a": ("relayed", 200, None, False),
        "b": ("relayed", 200, "cut", True),
    }
