"""The spans of a request, however it ends."""

import asyncio
import gzip
import json
import random
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from fakes import FakeClient, FakeReply, Story, failure, late, ok, request, status, stream, throttled

from lb.audit.answers import answer_of, answer_of_stream
from lb.audit.prompts import turns_of
from lb.events import Outcome
from lb.exchange import Blame, ClientGone, Request
from lb.spine.watching import watch_cost
from lb.telemetry.otel.content import MOST, Content, Reading, watch_content
from lb.telemetry.otel.details import watch_details
from lb.telemetry.otel.recording import Seen
from lb.telemetry.otel.sampling import Sampler
from lb.telemetry.otel.spans import CLIENT, SERVER, Span
from lb.telemetry.otel.tracing import Tracing

CHUNK = {
    "id": "chatcmpl-1",
    "model": "gpt-x",
    "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}],
}
LAST = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
COST = {**CHUNK, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}}
BODY = {
    "choices": [
        {"finish_reason": "tool_calls", "index": 0, "message": {"tool_calls": [{"id": "call_1", "function": {}}]}}
    ],
    "id": "chatcmpl-2",
    "model": "gpt-y",
    "usage": {
        "prompt_tokens": 7,
        "completion_tokens": 8,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
}


def events(*told: object) -> bytes:
    return b"".join(b"data: %b\n\n" % (t.encode() if isinstance(t, str) else json.dumps(t).encode()) for t in told)


def json_reply(body: object = BODY, *fields: tuple[str, str]) -> FakeReply:
    return FakeReply(200, [("content-type", "application/json"), *fields], [json.dumps(body).encode()])


class Recorded(Story):
    """A story in which requests are recorded."""

    def __init__(self, scripts: dict[str, Sequence[object]], ratio: float = 1.0, system: bool = False) -> None:
        super().__init__(scripts)
        self.spans: list[Span] = []
        sampler = Sampler(ratio, random.Random(3))  # noqa: S311 - a test's ids
        tracing = Tracing(sampler, [self], self.clock, lambda: self.clock() + 1000, system=system)

        self.gateway.trace = tracing.begin
        self.gateway.recorded_watches = [watch_details(self.clock)]

    def put(self, spans: Sequence[Span]) -> None:
        self.spans.extend(spans)

    async def attributes(self, what: Request | None = None) -> list[dict[str, Any]]:
        """Of the spans that a request makes."""
        await self.ask(what)
        return self.told_of()

    def told_of(self) -> list[dict[str, Any]]:
        """Attributes of the spans so far."""
        return [dict([*span.fixed.pairs, *span.pairs]) for span in self.spans]


async def test_a_json_reply_is_told_in_the_span_that_answered() -> None:
    server, answered = await Recorded({"a": [json_reply()]}).attributes()
    assert server["lb.outcome"] == "relayed"
    assert "gen_ai.operation.name" not in server
    assert answered["gen_ai.response.id"] == "chatcmpl-2"
    assert answered["gen_ai.response.model"] == "gpt-y"
    assert answered["gen_ai.request.model"] == "chat"
    assert answered["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert (answered["gen_ai.usage.input_tokens"], answered["gen_ai.usage.output_tokens"]) == (7, 8)
    assert answered["gen_ai.usage.cache_read.input_tokens"] == 4
    assert answered["gen_ai.usage.reasoning.output_tokens"] == 2
    assert "gen_ai.response.time_to_first_chunk" not in answered
    assert "gen_ai.system" not in answered


async def test_the_older_name_of_the_provider_is_told_where_it_is_wanted() -> None:
    _, answered = await Recorded({"a": [json_reply()]}, system=True).attributes()
    assert (answered["gen_ai.system"], answered["gen_ai.provider.name"]) == ("az.ai.openai", "azure.ai.openai")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 100, 1000, 100_000])
@pytest.mark.parametrize("filler", [0, 200])
async def test_a_stream_is_told_however_it_is_cut(size: int, filler: int) -> None:
    opening = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}
    whole = events(opening, *[CHUNK] * (filler + 3), LAST, COST, "[DONE]")
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    _, answered = await Recorded({"a": [stream(*pieces)]}).attributes()
    assert (answered["gen_ai.response.id"], answered["gen_ai.response.model"]) == ("chatcmpl-1", "gpt-x")
    assert answered["gen_ai.response.finish_reasons"] == ("length",)
    assert (answered["gen_ai.usage.input_tokens"], answered["gen_ai.usage.output_tokens"]) == (5, 6)
    assert answered["gen_ai.request.stream"] is True
    assert "gen_ai.response.time_to_first_chunk" in answered


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"status": "completed", "incomplete_details": None}, "completed"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
    ],
)
async def test_a_response_is_told_streamed_and_whole(end: dict[str, Any], reason: str) -> None:
    response = {"id": "resp_1", "object": "response", "model": "gpt-z", **end}
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    begun = {"type": "response.created", "response": {**response, "status": "in_progress", "incomplete_details": None}}
    over = {"type": f"response.{end['status']}", "response": {**response, "usage": usage}}
    target = b"/openai/v1/responses"
    told = request(target, body=b'{"model":"chat"}')
    _, streamed = await Recorded({"a": [stream(events(begun, over))]}).attributes(told)
    told = request(target, body=b'{"model":"chat"}')
    _, whole = await Recorded({"a": [json_reply({**response, "usage": usage})]}).attributes(told)
    for answered in (streamed, whole):
        assert (answered["gen_ai.response.id"], answered["gen_ai.response.model"]) == ("resp_1", "gpt-z")
        assert answered["gen_ai.response.finish_reasons"] == (reason,)
        assert (answered["gen_ai.usage.input_tokens"], answered["gen_ai.usage.output_tokens"]) == (3, 4)
        assert answered["gen_ai.operation.name"] == "chat"


async def test_of_a_large_body_only_the_end_is_read() -> None:
    body = {"data": [{"embedding": [0.123456] * 20_000}], "usage": {"prompt_tokens": 9, "total_tokens": 9}}
    _, answered = await Recorded({"a": [json_reply(body)]}).attributes()
    assert answered["gen_ai.usage.input_tokens"] == 9
    assert "gen_ai.response.model" not in answered


@pytest.mark.parametrize(
    "reply",
    [
        FakeReply(200, [("content-type", "application/json"), ("content-encoding", "gzip")], [b"not packed"]),
        FakeReply(200, [("content-type", "application/json"), ("content-encoding", "br")], [b"{}"]),
        FakeReply(200, [("content-type", "application/json")], [b'{"choices": 7, "model": [], "usage": "x"}']),
        FakeReply(200, [("content-type", "application/json")], [b"[" * 60_000]),
        FakeReply(200, [("content-type", "text/event-stream")], [b"data: " + b"x" * 90_000, b"\n\n"]),
        FakeReply(200, [("content-type", "text/event-stream")], [b"\xff\xfe\n\n" * 9000]),
        FakeReply(200, [("content-type", "audio/mpeg")], [b"x" * 90_000]),
    ],
)
async def test_a_body_that_cannot_be_read_does_no_harm(reply: FakeReply) -> None:
    story = Recorded({"a": [reply]})
    server, answered = await story.attributes()
    assert server["lb.outcome"] == "relayed"
    assert answered["gen_ai.operation.name"] == "chat"
    assert "gen_ai.response.model" not in answered


async def test_usage_that_is_counted_anyway_is_the_one_that_is_told() -> None:
    story = Recorded({"a": [stream(events(CHUNK, LAST, "[DONE]"))]})
    story.gateway.watches = [watch_cost]
    _, answered = await story.attributes(request(body=b'{"messages":[{"content":"hello"}]}'))
    assert answered["lb.usage.estimated"] is True
    assert story.finished.usage is not None


async def test_who_records_without_watching_still_learns_what_it_cost() -> None:
    story = Recorded({"a": [json_reply()]})
    story.gateway.watches, story.gateway.recorded_watches = [watch_cost], ()
    await story.ask()
    assert story.finished.usage is not None
    assert story.finished.usage.total == 15


async def test_a_recording_that_fails_takes_nothing_from_the_others() -> None:
    class Broken(Recorded):
        def put(self, spans: Sequence[Span]) -> None:
            raise MemoryError

    story = Broken({"a": [json_reply()]})
    with pytest.raises(MemoryError):
        await story.ask()
    assert story.finished.outcome is Outcome.RELAYED


async def test_a_choice_that_is_no_object_hides_no_other() -> None:
    choices = [None, "stop", {"finish_reason": "length"}]
    _, answered = await Recorded({"a": [json_reply({**BODY, "choices": choices})]}).attributes()
    assert answered["gen_ai.response.finish_reasons"] == ("length",)


async def test_tracing_alone_tells_no_usage_to_the_metrics() -> None:
    story = Recorded({"a": [json_reply()]})
    _, answered = await story.attributes()
    assert answered["gen_ai.usage.input_tokens"] == 7
    assert story.finished.usage is None


async def test_each_attempt_is_a_span_with_its_verdict() -> None:
    scripts = {"a": [throttled(7)], "b": [failure(Blame.CONNECT, "refused")], "c": [status(503)], "d": [json_reply()]}
    story = Recorded(scripts)
    server, *tries = await story.attributes()
    assert [(told["lb.backend"], told["lb.verdict"], told.get("error.type")) for told in tries] == [
        ("a", "throttled", "429"),
        ("b", "faulted", "faulted"),
        ("c", "faulted", "503"),
        ("d", "relayed", None),
    ]
    assert [told.get("http.request.resend_count") for told in tries] == [None, 1, 2, 3]
    assert tries[0]["lb.cooldown_seconds"] == 7
    assert tries[1]["lb.reason"] == "refused"
    assert "http.response.status_code" not in tries[1]
    assert server["lb.attempts"] == 4
    assert [span.kind for span in story.spans] == [SERVER, CLIENT, CLIENT, CLIENT, CLIENT]
    assert {span.parent_id for span in story.spans[1:]} == {story.spans[0].span_id}
    assert len({span.span_id for span in story.spans}) == 5
    assert [span.failed for span in story.spans] == [False, True, True, True, False]


async def test_all_throttled_is_a_server_span_that_did_not_fail() -> None:
    story = Recorded({"a": [throttled(7)]})
    server, _ = await story.attributes()
    assert (server["http.response.status_code"], server["lb.outcome"], server["error.type"]) == (
        429,
        "exhausted",
        "429",
    )
    assert not story.spans[0].failed


async def test_a_clients_mistake_fails_the_attempt_and_not_the_server() -> None:
    story = Recorded({"a": [status(400)]})
    server, answered = await story.attributes()
    assert (server["error.type"], answered["error.type"]) == ("400", "400")
    assert [span.failed for span in story.spans] == [False, True]
    assert "gen_ai.operation.name" not in answered


async def test_a_cut_stream_fails_both() -> None:
    story = Recorded({"a": [stream(events(CHUNK), failure(Blame.LOST, "lost")())]})
    server, answered = await story.attributes()
    assert (server["lb.outcome"], server["error.type"], answered["error.type"]) == ("cut", "cut", "cut")
    assert [span.failed for span in story.spans] == [True, True]
    assert answered["gen_ai.response.model"] == "gpt-x"


async def test_a_refusal_of_ours_has_no_attempts() -> None:
    story = Recorded({"a": [ok()]})
    (server,) = await story.attributes(request(b"/openai/deployments/a%2Fb/chat/completions"))
    assert (server["lb.outcome"], server["http.response.status_code"]) == ("refused", 400)


async def test_an_attempt_that_the_client_did_not_wait_for_is_told() -> None:
    story = Recorded({"a": [late(60, ok)]})
    asking = asyncio.create_task(story.ask())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    server, begun = story.told_of()
    assert server["lb.outcome"] == begun["lb.verdict"] == begun["error.type"] == "abandoned"
    assert [span.failed for span in story.spans] == [False, False]


async def test_a_client_that_leaves_a_stream_fails_nobody() -> None:
    story = Recorded({"a": [stream(events(CHUNK), events(LAST))]})
    client = FakeClient(leaves_after=0)
    with pytest.raises(ClientGone):
        await story.ask(client=client)
    assert [span.failed for span in story.spans] == [False, False]
    assert story.told_of()[1]["error.type"] == "abandoned"


async def test_the_backend_learns_of_its_own_span_only() -> None:
    story = Recorded({"a": [throttled(7)], "b": [json_reply()]})
    what = request(headers=[(b"Traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), (b"x", b"1")])
    await story.ask(what)
    assert what.trace is not None
    assert what.trace.context == b"traceparent: 00-%b-%b-01\r\n" % (b"a" * 32, story.spans[2].span_id.hex().encode())


async def test_what_is_not_recorded_makes_no_spans() -> None:
    story = Recorded({"a": [json_reply()]}, ratio=0.0)
    what = request(headers=[(b"x", b"1")])
    assert await story.attributes(what) == []
    assert what.trace is None


async def test_times_are_those_of_the_wall() -> None:
    story = Recorded({"a": [json_reply()]})
    await story.ask()
    assert story.spans[0].start == int((story.clock() + 1000) * 1e9)


async def test_secrets_of_an_address_are_not_told() -> None:
    story = Recorded({"a": [json_reply()]})
    await story.ask(request(b"/openai/deployments/chat/chat/completions?api-version=1&sig=s3cret"))
    assert "s3cret" not in str([(span, span.fixed.name, span.fixed.pairs) for span in story.spans])


SAID = b'{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello?"}]}'


async def told_content(reply: object, body: bytes = SAID, *, on_span: bool = True, as_event: bool = True) -> Span:
    story = Recorded({"a": [reply]})
    reading = Reading(turns_of, answer_of, answer_of_stream)
    story.gateway.recorded_watches = [
        watch_details(story.clock),
        watch_content(reading, on_span=on_span, as_event=as_event),
    ]
    await story.ask(request(body=body))
    return story.spans[1]


async def test_content_is_told_where_it_is_wanted() -> None:
    answer = json_reply({"choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]})
    span = await told_content(answer)
    told = dict(span.pairs)
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Hello?"}]},
    ]
    assert json.loads(told["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hi."}], "finish_reason": "stop"}
    ]
    assert dict(span.event) == {name: told[name] for name in ("gen_ai.input.messages", "gen_ai.output.messages")}


async def test_content_of_a_stream_is_put_together() -> None:
    span = await told_content(stream(events(CHUNK, CHUNK), events(LAST, "[DONE]")), as_event=False)
    (message,) = json.loads(str(dict(span.pairs)["gen_ai.output.messages"]))
    assert message["parts"] == [{"type": "text", "content": "aa"}]
    assert span.event == ()


async def test_content_as_an_event_is_not_on_the_span() -> None:
    span = await told_content(json_reply(), on_span=False)
    assert "gen_ai.input.messages" not in dict(span.pairs)
    assert dict(span.event).keys() == {"gen_ai.input.messages", "gen_ai.output.messages"}


def test_content_that_is_packed_is_unpacked_no_further_than_it_is_kept() -> None:
    packed = gzip.compress(b"x" * 50_000_000)
    reply = FakeReply(200, [("content-type", "application/json"), ("content-encoding", "gzip")], [])
    content = Content(Seen(), request(body=SAID), reply, Reading(turns_of, answer_of, answer_of_stream), (True, False))
    tracemalloc.start()
    content.data(packed)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 16 * MOST
    assert content._kept == b""


@pytest.mark.parametrize("body", [b"", b"not json", b"[" * 9000, b'{"messages": 7}', b'"' + b"x" * 300_000 + b'"'])
@pytest.mark.parametrize("reply", [b"not json", b"[" * 9000, b"x" * 300_000])
async def test_content_that_cannot_be_read_does_no_harm(body: bytes, reply: bytes) -> None:
    span = await told_content(FakeReply(200, [("content-type", "application/json")], [reply]), body)
    assert "gen_ai.output.messages" not in dict(span.pairs)


async def test_without_being_asked_for_no_content_is_told() -> None:
    story = Recorded({"a": [json_reply({"choices": [{"message": {"content": "s3cret answer"}}]})]})
    await story.ask(request(body=b'{"messages":[{"role":"user","content":"s3cret prompt"}]}'))
    assert "s3cret" not in str(story.told_of()) + str(story.spans)
