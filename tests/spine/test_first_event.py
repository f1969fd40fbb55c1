"""LB_FIRST_EVENT_SECONDS: a slow backend is left for another one, and only for another one."""

import asyncio

import pytest
from fakes import CHAT, FakeReply, FakeStream, Story, failure, late, ok, request, status, stream, throttled
from virtual import in_virtual_time

from lb.exchange import Blame

CONTENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'


def timed(limit: float = 5.0, **scripts: object) -> Story:
    return Story(scripts, clock=asyncio.get_running_loop().time, first_event=limit)  # type: ignore[arg-type]


@in_virtual_time
async def test_a_backend_whose_head_is_late_is_left_for_the_next_one() -> None:
    story = timed(a=[late(60, ok(b"a"))], b=[ok(b"b")])
    begun = story.clock()
    assert (await story.ask()).body == b"b"
    assert story.clock() - begun == 5.0
    assert story.verdicts == [("a", "faulted"), ("b", "relayed")]
    story.at_rest()


@in_virtual_time
async def test_a_stream_whose_first_event_is_late_is_left_too() -> None:
    story = timed(a=[stream(60.0, CONTENT)], b=[ok(b"b")])
    assert (await story.ask()).body == b"b"
    story.at_rest()


@in_virtual_time
async def test_a_stream_that_began_within_the_limit_may_take_its_time() -> None:
    story = timed(a=[late(4, stream(CONTENT, 60.0, CONTENT))], b=[ok(b"b")])
    assert (await story.ask()).body == CONTENT * 2


@in_virtual_time
async def test_a_body_may_take_longer_than_its_head() -> None:
    story = timed(a=[lambda: FakeReply(200, [], [60.0, b"a"])], b=[ok(b"b")])
    assert (await story.ask()).body == b"a"


@in_virtual_time
async def test_the_last_backend_is_never_left() -> None:
    story = timed(a=[throttled(600)], b=[late(60, ok(b"b"))])
    assert (await story.ask()).body == b"b"
    story = timed(a=[late(60, ok(b"a"))])
    assert (await story.ask()).body == b"a"
    story = timed(a=[late(60, ok())], b=[late(60, ok(b"b"))])
    assert (await story.ask()).body == b"b"


def throttle(story: Story, name: str, seconds: int) -> None:
    """Another request learns that a backend is throttled."""
    others = {backend.name for backend in story.pool.backends if backend.name != name}
    attempt = story.pool.begin(story.clock(), "chat", others, "other")
    assert attempt is not None
    wait = {b"retry-after": b"%d" % seconds}
    story.pool.learn(story.clock(), attempt, story.failover.judge.throttled("HTTP 429", wait.get))
    story.pool.release(attempt)


@in_virtual_time
async def test_a_backend_that_has_become_the_last_one_meanwhile_is_not_left() -> None:
    story = timed(a=[late(60, ok(b"a"))], b=[throttled(100)])
    slow = asyncio.create_task(story.ask())
    await asyncio.sleep(1)
    throttle(story, "b", 100)
    assert (await slow).body == b"a"
    assert story.asked == ["a"]


@in_virtual_time
async def test_a_slow_backend_is_left_as_soon_as_another_one_is_back() -> None:
    story = timed(a=[late(600, ok(b"a"))], b=[ok(b"b")])
    throttle(story, "b", 12)
    begun = story.clock()
    assert (await story.ask()).body == b"b"
    assert story.clock() - begun == 15.0


@pytest.mark.parametrize("target", [b"/openai/v1/batches", b"/openai/threads/t/runs?api-version=1"])
def test_what_may_not_be_repeated_is_never_given_up(target: bytes) -> None:
    @in_virtual_time
    async def tell() -> None:
        story = timed(a=[late(60, ok(b"a"))], b=[ok(b"b")])
        assert (await story.ask(request(target))).body == b"a"

    tell()


@in_virtual_time
async def test_a_body_that_was_sent_and_is_gone_is_never_given_up() -> None:
    story = timed(a=[late(60, ok(b"a"))], b=[ok(b"b")])
    assert (await story.ask(request(body=FakeStream(b"{", [b"}"])))).body == b"a"


@pytest.mark.interpreted
@in_virtual_time
async def test_giving_up_is_a_retry_and_keeps_within_the_budget() -> None:
    story = timed(a=[late(12, ok(b"a"))], b=[ok(b"b")])
    story.failover.pool.learn = lambda *_: None  # type: ignore[assignment, method-assign]
    answers = await asyncio.gather(*[story.ask() for _ in range(8)])
    assert sorted(answer.body for answer in answers) == [b"a"] * 3 + [b"b"] * 5


@in_virtual_time
async def test_three_times_late_is_silence_and_ejects() -> None:
    story = timed(a=[late(60, ok(b"a"))], b=[ok(b"b")])
    for _ in range(3):
        await story.ask()
    assert {row.backend.name: row.state for row in story.pool.snapshot(story.clock())}["a"] == "ejected"
    begun = story.clock()
    await story.ask()
    assert story.clock() == begun


@in_virtual_time
async def test_the_silent_one_is_not_asked_again_for_this_request() -> None:
    story = timed(a=[late(60, ok(b"a"))], b=[status(500)], c=[failure(Blame.CONNECT)])
    client = await story.ask()
    assert story.asked == ["a", "b", "c"]
    assert client.status == 500


@in_virtual_time
async def test_switched_off_nobody_is_left_however_slow() -> None:
    story = timed(0.0, a=[late(230, ok(b"a"))], b=[ok(b"b")])
    assert (await story.ask(request(CHAT))).body == b"a"


@in_virtual_time
async def test_a_limit_shorter_than_the_hold_wins() -> None:
    story = timed(0.5, a=[stream(b": x\n\n", 60.0)], b=[ok(b"b")])
    begun = story.clock()
    assert (await story.ask()).body == b"b"
    assert story.clock() - begun == 0.5
    story.at_rest()
