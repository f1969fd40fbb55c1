"""An outage is not doubled by our retries, and one bad request does not take the backends from everybody."""

import asyncio

import pytest
from fakes import Story, failure, late, ok, request, status, throttled
from virtual import in_virtual_time

from lb.events import Ejected
from lb.exchange import Blame


@in_virtual_time
async def test_in_an_outage_of_everything_few_requests_are_doubled() -> None:
    story = Story({name: [status(500)] for name in "abc"})
    for _ in range(200):
        assert (await story.ask()).status == 500
    assert len(story.asked) <= 200 * 1.2 + 5


@pytest.mark.interpreted
@in_virtual_time
async def test_without_faults_before_five_faults_are_retried_at_once() -> None:
    story = Story({"a": [status(500)], "b": [ok()]})
    story.pool.learn = lambda *_: None  # type: ignore[assignment, method-assign]
    answers = [(await story.ask()).status for _ in range(8)]
    assert answers == [200] * 5 + [500] * 3


@pytest.mark.interpreted
@in_virtual_time
async def test_the_budget_is_a_fifth_of_the_requests() -> None:
    story = Story({"a": [status(500)], "b": [ok()]})
    story.pool.learn = lambda *_: None  # type: ignore[assignment, method-assign]
    for _ in range(200):
        story.failover.budget.request(story.clock())
    answers = [(await story.ask()).status for _ in range(60)]
    assert 40 <= answers.count(200) <= 52


@pytest.mark.interpreted
@in_virtual_time
async def test_throttling_and_failed_connections_need_no_budget() -> None:
    for make in (throttled(7), failure(Blame.CONNECT), status(401)):
        story = Story({"a": [make], "b": [ok()]})
        story.pool.learn = lambda *_: None  # type: ignore[assignment, method-assign]
        assert {(await story.ask()).status for _ in range(50)} == {200}


@in_virtual_time
async def test_the_budget_is_only_spent_where_somebody_is_left_to_ask() -> None:
    story = Story({"a": [status(500)]})
    for _ in range(50):
        await story.ask()
    assert story.failover.budget.retry(story.clock())


@in_virtual_time
async def test_an_ejected_backend_is_out_while_another_one_serves() -> None:
    story = Story({"a": [status(500)], "b": [ok()]})
    for _ in range(20):
        assert (await story.ask()).status == 200
    assert story.asked.count("a") == 3


@in_virtual_time
async def test_a_poisonous_request_is_relayed_its_last_answer() -> None:
    story = Story({"a": [status(500, b"a")], "b": [status(502, b"b")], "c": [status(503, b"c")]})
    client = await story.ask()
    assert (client.status, client.body) == (503, b"c")


@in_virtual_time
async def test_poison_strikes_no_backend_that_serves_others_meanwhile() -> None:
    clock = asyncio.get_running_loop().time

    def answer() -> object:
        is_poison = story.transport.sent[-1].body == b"poison"
        return late(5, status(500, b"oh"))() if is_poison else late(1, ok())()

    story = Story({"a": [answer], "b": [answer]}, clock=clock)

    async def normal() -> None:
        for _ in range(40):
            assert (await story.ask()).status == 200
            await asyncio.sleep(0.1)

    both = asyncio.create_task(normal())
    keep_b_busy = asyncio.create_task(_only(story, "b"))
    for _ in range(4):
        assert (await story.ask(request(body=b"poison"))).status == 500
    await both
    keep_b_busy.cancel()
    await asyncio.gather(keep_b_busy, return_exceptions=True)
    assert not story.told(Ejected)
    story.at_rest()


async def _only(story: Story, name: str) -> None:
    """Somebody whose requests go to one backend, because the other ones do not serve their part of it."""
    while True:
        attempt = story.pool.begin(story.clock(), "chat", {"a", "b"} - {name}, "other")
        assert attempt is not None
        try:
            await asyncio.sleep(0.5)
            story.pool.learn(story.clock(), attempt, story.failover.judge.head(200, lambda _: None))
        finally:
            story.pool.release(attempt)
