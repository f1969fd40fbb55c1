"""A throttled deployment comes back with two requests; the others wait for what comes of them, a little."""

import asyncio

from fakes import Story, late, ok, status, throttled
from virtual import in_virtual_time

from lb.spine.permits import TRIAL_WAIT


def timed(**scripts: object) -> Story:
    return Story(scripts, clock=asyncio.get_running_loop().time)  # type: ignore[arg-type]


@in_virtual_time
async def test_under_many_clients_a_throttled_backend_gets_no_request_until_it_asked_and_then_two() -> None:
    loop = asyncio.get_running_loop()
    story = timed(a=[throttled(7), late(0.5, ok(b"a"))], b=[late(0.05, ok(b"b"))])
    begun, asked = loop.time(), []
    emit = story.failover.emit

    def note(fact: object) -> None:
        emit(fact)  # type: ignore[arg-type]
        if type(fact).__name__ == "Attempted" and fact.backend.name == "a":  # type: ignore[attr-defined]
            asked.append(round(loop.time() - begun, 3))

    story.failover.emit = note

    async def client() -> None:
        while loop.time() - begun < 9:
            assert (await story.ask()).status == 200

    await asyncio.gather(*[client() for _ in range(50)])
    first = [at for at in asked if at < 0.05]
    assert len(first) <= 50, "all of them began before the first 429 was there"
    assert [at for at in asked if 0.05 <= at < 7.0] == []
    assert len([at for at in asked if 7.0 <= at < 7.5]) == 2
    assert len([at for at in asked if at >= 7.5]) > 50
    story.at_rest()


@in_virtual_time
async def test_with_nobody_else_the_others_wait_for_the_trials_and_are_served() -> None:
    story = timed(a=[throttled(1), late(2, ok(b"a"))])
    await story.ask()
    await asyncio.sleep(1)
    begun = story.clock()
    answers = await asyncio.gather(*[story.ask() for _ in range(20)])
    assert {answer.body for answer in answers} == {b"a"}
    assert story.clock() - begun == 4.0
    story.at_rest()


@in_virtual_time
async def test_when_the_trials_are_throttled_those_who_wait_get_the_new_wait_at_once() -> None:
    story = timed(a=[throttled(1), late(2, throttled(30))])
    await story.ask()
    await asyncio.sleep(1)
    begun = story.clock()
    answers = await asyncio.gather(*[story.ask() for _ in range(20)])
    assert {(answer.status, answer.headers[b"retry-after"]) for answer in answers} == {(429, b"30")}
    assert story.clock() - begun == 2.0
    assert len(story.asked) == 3
    story.at_rest()


@in_virtual_time
async def test_nobody_waits_longer_than_five_seconds_for_a_trial() -> None:
    story = timed(a=[throttled(1), late(60, ok(b"a"))])
    await story.ask()
    await asyncio.sleep(1)
    trials = [asyncio.create_task(story.ask()) for _ in range(2)]
    await asyncio.sleep(0.5)
    begun = story.clock()
    client = await story.ask()
    assert (client.status, client.headers[b"retry-after"]) == (429, b"1")
    assert story.clock() - begun == TRIAL_WAIT
    await asyncio.gather(*trials)
    story.at_rest()


@in_virtual_time
async def test_a_trial_whose_client_leaves_lets_one_that_waits_go() -> None:
    story = timed(a=[throttled(1), late(60, ok(b"a")), late(60, ok(b"a")), ok(b"third")])
    await story.ask()
    await asyncio.sleep(1)
    trials = [asyncio.create_task(story.ask()) for _ in range(2)]
    await asyncio.sleep(0.5)
    third = asyncio.create_task(story.ask())
    await asyncio.sleep(0.5)
    trials[0].cancel()
    assert (await third).body == b"third"
    await asyncio.gather(*trials, return_exceptions=True)
    story.at_rest()


@in_virtual_time
async def test_a_trial_that_draws_an_error_of_its_own_lets_one_more_go_not_all() -> None:
    story = timed(a=[throttled(1), late(1, status(400, b"no")), late(1, status(400, b"no")), late(1, ok(b"a"))])
    await story.ask()
    await asyncio.sleep(1)
    running = [asyncio.create_task(story.ask()) for _ in range(6)]
    await asyncio.sleep(0.5)
    assert story.transport.running == 2
    await asyncio.sleep(1)
    assert story.transport.running == 2
    answers = await asyncio.gather(*running)
    assert sorted(answer.status or 0 for answer in answers) == [200] * 4 + [400] * 2
    story.at_rest()
