"""What a reply cost is told with the end of its request, whatever the end."""

import json
import zlib

import pytest
from fakes import CHAT, FakeClient, FakeReply, FakeStream, Story, failure, ok, request, status, stream, throttled

from lb.events import Finished, Outcome
from lb.exchange import Blame, ClientGone, Request
from lb.metering.usage import UNKNOWN, Usage
from lb.spine.watching import watch_cost

USAGE = b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'
WORD = b'data: {"choices":[{"delta":{"content":" word"}}]}\n\n'
ASKED = json.dumps({"messages": [{"role": "user", "content": "How are you?"}], "stream": True}).encode()


class Watched(Story):
    """A story in which replies are watched."""

    def __init__(self, *script: object, **more: object) -> None:
        super().__init__({"a": list(script), **more})  # type: ignore[dict-item]
        self.gateway.watches = [watch_cost]


async def told(script: object, what: Request | None = None) -> Finished:
    story = Watched(script)
    await story.ask(what)
    return story.finished


def json_reply(body: bytes) -> FakeReply:
    return FakeReply(200, [("Content-Type", "application/json")], [body[:9], body[9:]])


async def test_what_a_reply_says_of_its_cost_is_told() -> None:
    finished = await told(json_reply(b'{"choices":[],"usage":%b}' % USAGE))
    assert (finished.usage, finished.call) == (Usage(3, 4, 7), "chat")
    assert finished.recount is None


async def test_a_stream_that_tells_is_not_estimated() -> None:
    last = b'data: {"choices":[],"usage":%b}\n\n' % USAGE
    assert (await told(stream(WORD, WORD, last))).usage == Usage(3, 4, 7)


async def test_a_stream_without_usage_is_estimated_and_can_be_counted_again() -> None:
    finished = await told(stream(*[WORD] * 30), request(body=ASKED))
    assert finished.usage is not None
    assert finished.usage.estimated
    assert 8 <= finished.usage.prompt <= 16
    assert 20 <= finished.usage.completion <= 50
    assert finished.recount is not None


async def test_a_stream_that_the_backend_cut_has_cost_what_was_seen() -> None:
    story = Watched(stream(WORD, WORD, failure(Blame.LOST)()))
    await story.ask(request(body=ASKED))
    assert story.finished.outcome is Outcome.CUT
    assert story.finished.usage is not None
    assert story.finished.usage.completion >= 1


async def test_a_stream_that_the_client_left_has_cost_what_was_seen() -> None:
    story = Watched(stream(WORD, WORD))
    with pytest.raises(ClientGone):
        await story.ask(request(body=ASKED), FakeClient(leaves_after=0))
    assert story.finished.outcome is Outcome.ABANDONED
    assert story.finished.usage == Usage(story.finished.usage.prompt, 0, story.finished.usage.prompt, estimated=True)


@pytest.mark.parametrize(
    "what",
    [
        request(method="GET", target=b"/openai/v1/responses/resp_1", body=b""),
        request(target=b"/openai/v1/batches", body=b"{}"),
    ],
)
async def test_only_what_makes_an_answer_is_watched(what: Request) -> None:
    assert (await told(json_reply(b'{"usage":%b}' % USAGE), what)).usage is None


async def test_errors_and_refusals_cost_nothing_that_could_be_told() -> None:
    assert (await told(status(400, b'{"usage":%b}' % USAGE))).usage is None
    assert (await told(throttled())).usage is None


async def test_a_reply_that_does_not_tell_is_unknown_and_not_zero() -> None:
    usage = (await told(ok())).usage
    assert usage is not None
    assert usage.unknown


async def test_a_reply_that_is_not_packed_as_it_says_is_relayed_and_told_as_unreadable() -> None:
    reply = FakeReply(200, [("Content-Type", "application/json"), ("Content-Encoding", "gzip")], [b'{"usage":{}}'])
    story = Watched(reply)
    assert (await story.ask()).body == b'{"usage":{}}'
    assert story.finished.usage == UNKNOWN
    assert isinstance(story.finished.unread, zlib.error)


async def test_a_prompt_too_large_to_keep_is_estimated_by_its_length() -> None:
    large = request(target=CHAT, body=FakeStream(ASKED, [b"x" * 100], length=4000))
    finished = await told(stream(WORD), large)
    assert finished.usage is not None
    assert finished.usage.prompt == 1000


async def test_a_form_is_not_counted_as_if_its_sound_were_text() -> None:
    form = request(
        target=b"/openai/deployments/w/audio/transcriptions", content_type=b"multipart/form-data; boundary=x"
    )
    finished = await told(stream(b'data: {"type":"transcript.text.delta","delta":"Hello"}\n\n'), form)
    assert finished.usage is not None
    assert (finished.usage.prompt, finished.call) == (0, "transcriptions")


async def test_the_end_tells_where_the_time_went_and_who_refused() -> None:
    story = Watched(throttled(), b=[throttled()], c=[ok()])
    await story.ask()
    assert story.finished.throttled == 2
    assert story.finished.first_byte is not None
    assert 0 <= story.finished.waited <= story.finished.first_byte


async def test_a_request_of_a_known_caller_is_told_as_theirs() -> None:
    assert (await told(ok(), request(caller="ada"))).tenant == "ada"
