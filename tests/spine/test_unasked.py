"""Usage that only the operator wants: the backend is asked for it, the client sees nothing of it, and it is counted."""

import json

import pytest
from fakes import CHAT, FakeClient, FakeReply, FakeStream, Story, failure, request, status, stream, throttled

from lb.exchange import Blame, Request
from lb.metering.quota import Quota
from lb.metering.tenant import Tenant, Tenants
from lb.metering.usage import Usage
from lb.spine.admission import Admission
from lb.spine.unasked import AskForUsage
from lb.spine.watching import watch_cost

WORD = b'data: {"choices":[{"delta":{"content":" word"}}],"usage":null}\n\n'
TOLD = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"
ASKED = b'{"messages": [], "stream": true, "model": "chat"}'
SENT = b'{"messages": [], "stream": true,"stream_options":{"include_usage":true}, "model": "chat"}'
WITH_USAGE = ASKED[:-1] + b', "stream_options": {"include_usage": true}}'


class Asking(Story):
    """A gateway that asks for usage, of two tenants that say it differently where there are any."""

    def __init__(self, *script: object, always: bool = True, tenants: bool = False, **more: object) -> None:
        super().__init__({"a": list(script), **more})  # type: ignore[dict-item]
        self.gateway.watches = [watch_cost]
        self.gateway.ask_for_usage = AskForUsage(always=always)
        if tenants:
            self.gateway.admission = Admission(Quota(()), self.clock, self.facts.append)
            known = Tenants([Tenant("ada", include_usage=True), Tenant("bob", include_usage=False), Tenant("eve")])
            self.gateway.admission.replace(known, b"x-tenant", b"tenant", self.pool.backends)

    async def stream(self, what: Request | None = None) -> FakeClient:
        return await self.ask(what or request(body=ASKED))

    @property
    def sent(self) -> list[bytes]:
        return [sent.body for sent in self.transport.sent]


async def test_the_client_sees_all_but_the_chunk_that_it_did_not_ask_for() -> None:
    body = WORD + WORD + TOLD + DONE
    story = Asking(stream(*[body[at : at + 7] for at in range(0, len(body), 7)]))
    client = await story.stream()
    assert client.body == WORD + WORD + DONE
    assert story.sent == [SENT]
    assert story.finished.usage == Usage(3, 4, 7)
    story.at_rest()


@pytest.mark.parametrize(
    "what",
    [
        {"body": WITH_USAGE},
        {"body": b'{"messages":[]}'},
        {"body": ASKED, "target": b"/openai/v1/responses"},
        {"body": ASKED, "content_encoding": b"gzip"},
        {"body": ASKED, "method": "PUT"},
        {"body": FakeStream(ASKED, length=len(ASKED))},
    ],
)
async def test_nothing_is_done_where_nobody_would_gain(what: dict[str, object]) -> None:
    story = Asking(stream(WORD, TOLD, DONE))
    client = await story.stream(request(**what))  # type: ignore[arg-type]
    assert client.body == WORD + TOLD + DONE
    assert story.sent in ([what["body"]], [ASKED])


async def test_the_next_backend_is_asked_the_same_and_under_its_own_name() -> None:
    what = request(b"/openai/v1/chat/completions", body=ASKED)
    story = Asking(throttled(), b=[stream(WORD, TOLD, DONE)])
    client = await story.stream(what)
    assert story.sent == [SENT, SENT]
    assert client.body == WORD + DONE


async def test_what_is_no_stream_or_packed_or_an_error_passes_as_it_came() -> None:
    plain = [("Content-Type", "application/json"), ("Content-Length", "99")]
    for reply in (
        FakeReply(200, plain, [TOLD]),
        FakeReply(200, [("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")], [TOLD]),
        status(400, TOLD)(),
    ):
        assert (await Asking(reply).stream()).body == TOLD


async def test_a_stream_with_a_length_is_framed_anew() -> None:
    headers = [("Content-Type", "text/event-stream"), ("Content-Length", str(len(WORD + TOLD)))]
    reply = FakeReply(200, headers, [WORD, TOLD])
    reply.length = len(WORD + TOLD)
    seen: list[tuple[int | None, bytes]] = []

    class Sizing(FakeClient):
        async def relay(self, reply: object, extra: bytes) -> None:
            seen.append((reply.length, reply.raw))  # type: ignore[attr-defined]
            await super().relay(reply, extra)  # type: ignore[arg-type]

    client = await Asking(reply).ask(request(body=ASKED), Sizing())
    assert seen == [(None, b"")]
    assert client.body == WORD


async def test_a_stream_that_is_cut_shows_what_came() -> None:
    story = Asking(stream(WORD, WORD[:20], failure(Blame.LOST)()))
    client = await story.stream()
    assert (client.body, client.cut) == (WORD + WORD[:20], True)
    story.at_rest()


async def test_a_backend_is_not_offered_to_pack_it() -> None:
    headers = ((b"accept-encoding", b"gzip, br"), (b"X-Other", b"1"))
    what = request(body=ASKED, headers=headers)
    fields: list[bytes] = []
    story = Asking(stream(WORD, DONE))
    send = story.transport.send

    async def noting(backend, asked, target, body):  # type: ignore[no-untyped-def]
        fields.append(asked.fields)
        return await send(backend, asked, target, body)

    story.transport.send = noting  # type: ignore[method-assign]
    await story.stream(what)
    assert fields == [b"X-Other: 1\r\nAccept-Encoding: identity\r\n"]


@pytest.mark.parametrize(
    ("caller", "always", "asks"),
    [("ada", False, True), ("bob", True, False), ("eve", True, True), ("eve", False, False)],
)
async def test_a_tenant_may_say_it_for_itself(caller: str, always: bool, asks: bool) -> None:
    story = Asking(stream(WORD, TOLD, DONE), always=always, tenants=True)
    client = await story.stream(request(CHAT, body=ASKED, caller=caller))
    assert story.sent == [SENT if asks else ASKED]
    assert (TOLD in client.body) is not asks
    assert json.loads(SENT)["stream_options"] == {"include_usage": True}
