"""What is captured of a request's story, whatever its end, and of whose requests."""

import random
from typing import Any

import pytest
from fakes import FakeClient, FakeReply, FakeStream, Story, failure, ok, request, status, stream, throttled

from lb.audit import capture
from lb.audit.capture import Auditing
from lb.audit.choice import Choice, Sampling, Who
from lb.audit.records import completed, reading_of
from lb.balancing.asker import Asker
from lb.events import Announcer
from lb.exchange import Blame, ClientGone, Handshake
from lb.spine.watching import watch_cost

WORD = b'data: {"choices":[{"delta":{"content":" word"}}]}\n\n'


EVERYBODY = Choice()


def seeded(number: int) -> random.Random:
    return random.Random(number)  # noqa: S311 - the same in every run


class FakeFeed:
    """Keeps what it is given; `most` bytes at once."""

    def __init__(self, most: int = 10**9) -> None:
        self.most = most
        self.sent: list[tuple[dict[str, Any], bytes, bytes]] = []

    def take(self, size: int) -> bool:
        self.most -= size
        return self.most >= 0

    def send(self, facts: dict[str, Any], request: bytes, reply: list[bytes]) -> None:
        self.sent.append(({**completed(facts), "reading": reading_of(facts)}, request, b"".join(reply)))


class Audited(Story):
    def __init__(self, script: object, choice: Choice = EVERYBODY, most: int = 10**9, **more: object) -> None:
        super().__init__({"a": [script], **more})  # type: ignore[dict-item]
        self.feed = FakeFeed(most)
        self.auditing = Auditing(self.feed, lambda: 1795262400.0, Sampling(seeded(7)), choice)
        self.gateway.watches = [watch_cost, self.auditing.watch]
        emit = self.gateway._emit
        audited = Announcer()
        audited.add(self.auditing)

        def both(event: Any) -> None:
            emit(event)
            audited(event)

        self.gateway._emit = both

    async def recorded(self, *asked: Any) -> dict[str, Any]:
        await self.ask(*asked)
        ((facts, _, _),) = self.feed.sent
        return facts


async def test_prompt_and_reply_are_kept_with_the_facts_about_them() -> None:
    story = Audited(stream(WORD, WORD), b=[throttled()])
    asked = request(body=b'{"messages":[]}', caller="ada", peer="192.0.2.1", forwarded_for=b"203.0.113.9")
    asked.asker = Asker("team-a")
    await story.ask(asked)
    ((facts, said, told),) = story.feed.sent
    assert (said, told) == (b'{"messages":[]}', WORD + WORD)
    assert facts["reading"]["told"] == {"kind": "text/event-stream", "coding": "", "length": 2 * len(WORD)}
    expected = {
        "event": "Audit",
        "timestamp": "2026-11-21T12:00:00.000Z",
        "caller": "ada",
        "ip": "192.0.2.1",
        "forwarded_for": "203.0.113.9",
        "status": 200,
        "outcome": "relayed",
        "call": "chat",
        "usage": "estimated",
    }
    assert facts | expected == facts
    assert not story.auditing.ending


async def test_a_stream_that_was_cut_is_recorded_with_what_went_out() -> None:
    story = Audited(stream(WORD, WORD, failure(Blame.LOST)()))
    assert (await story.recorded())["outcome"] == "cut"
    assert story.feed.sent[0][2] == WORD + WORD


async def test_a_stream_that_was_left_is_recorded_with_what_went_out() -> None:
    story = Audited(stream(WORD, WORD))
    with pytest.raises(ClientGone):
        await story.ask(None, FakeClient(leaves_after=1))
    ((facts, _, told),) = story.feed.sent
    assert facts["outcome"] == "abandoned"
    assert told in (b"", WORD)


async def test_a_refusal_of_a_backend_is_recorded_since_somebody_sent_that_prompt() -> None:
    facts = await Audited(status(400, b'{"error":{"code":"content_filter"}}')).recorded()
    assert (facts["status"], facts.get("usage")) == (400, None)


async def test_what_no_backend_answered_is_not_recorded() -> None:
    story = Audited(throttled())
    await story.ask()
    assert not story.feed.sent


async def test_what_is_only_read_is_not_recorded() -> None:
    story = Audited(ok())
    await story.ask(request(method="GET", target=b"/openai/v1/models", body=b""))
    assert not story.feed.sent


async def test_without_memory_the_content_is_dropped_and_the_record_says_so() -> None:
    story = Audited(stream(WORD), most=3)
    facts = await story.recorded(request(body=b'{"messages":[]}'))
    assert facts["content_dropped"].startswith("no memory")
    assert story.feed.sent[0][1:] == (b"", b"")


async def test_a_long_reply_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "REPLY_MAX", 2 * len(WORD))
    story = Audited(stream(WORD, WORD, WORD, WORD))
    assert (await story.recorded())["truncated"] is True
    assert story.feed.sent[0][2] == WORD + WORD


async def test_of_a_body_that_streams_its_beginning_is_kept() -> None:
    story = Audited(FakeReply(200, [("Content-Type", "application/json")], [b"{}"]))
    facts = await story.recorded(request(body=FakeStream(b'{"messages":[{"ro', [b'le": 1}]}'], length=900)))
    assert facts["truncated"] is True
    assert facts["reading"]["asked"]["length"] == 900
    assert story.feed.sent[0][1] == b'{"messages":[{"ro'


@pytest.mark.parametrize(
    ("choice", "caller", "recorded"),
    [
        (Choice(), None, True),
        (Choice(), "ada", True),
        (Choice(Who.NONE), "ada", False),
        (Choice(Who.NONE, by_tenant={"ada": Who.ALL}), "Ada", True),
        (Choice(Who.ALL, by_tenant={"ada": Who.NONE}), "ada", False),
        (Choice(Who.SAMPLE, 0.0), "ada", False),
        (Choice(Who.SAMPLE, 1.0), "ada", True),
    ],
)
async def test_each_tenant_has_a_say(choice: Choice, caller: str | None, recorded: bool) -> None:
    story = Audited(ok(), choice)
    await story.ask(request(caller=caller))
    assert bool(story.feed.sent) == recorded


def test_a_sample_has_its_share_and_an_id_always_has_the_same_answer() -> None:
    sampling = Sampling(seeded(1))
    chosen = [sampling.has(f"r-{number}", 0.1) for number in range(10_000)]
    assert 900 < sum(chosen) < 1100
    assert chosen == [sampling.has(f"r-{number}", 0.1) for number in range(10_000)]
    other = Sampling(seeded(2))
    assert chosen != [other.has(f"r-{number}", 0.1) for number in range(10_000)]


async def test_what_is_said_on_a_websocket_is_not_recorded() -> None:
    story = Audited(lambda: FakeReply(101, [("Upgrade", "websocket")], [b"\x81\x02hi"]))
    await story.ask(request(b"/openai/v1/realtime?model=voice", "GET", b"", handshake=Handshake(b"x")))
    assert story.finished.status == 101
    assert not story.feed.sent
