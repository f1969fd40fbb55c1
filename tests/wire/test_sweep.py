"""The sweep in virtual time: `look` is one tick, the clock is ours."""

import asyncio

import pytest

from lb.exchange import Blame
from lb.wire.sweep import Sweep


class Line:
    """What the sweep sees of a connection."""

    def __init__(self, idle: bool = False) -> None:
        self.idle = idle
        self.heard = False
        self.paused = False
        self.blocked = False
        self.expired = False
        self.upload: object | None = None
        self.quiet = 0.0
        self.age = 0.0
        self.failed: str | None = None
        self.abandoned = False

    def fail(self, blame: Blame, detail: str) -> None:
        self.failed = f"{blame.value}: {detail}"

    def abandon(self) -> None:
        self.abandoned = True


class World:
    """A sweep with limits of 240 s, 60 s and 600 s, its clock and a line."""

    def __init__(self, idle: bool = False) -> None:
        self.now = 1000.0
        self.sweep = Sweep(lambda: self.now, 240, 60, 600)
        self.line = Line(idle)
        self.sweep.watch(self.line)

    def pass_seconds(self, count: int) -> None:
        for _ in range(count):
            self.now += 1.0
            self.sweep.look()


@pytest.fixture
async def busy() -> World:
    return World()


@pytest.fixture
async def unused() -> World:
    return World(idle=True)


async def test_silence_is_counted_from_the_last_byte(busy: World) -> None:
    busy.pass_seconds(230)
    busy.line.heard = True
    busy.pass_seconds(240)
    assert busy.line.failed is None
    busy.pass_seconds(1)
    assert busy.line.failed == "silent: sent nothing for 240 s"


@pytest.mark.parametrize("reason", ["paused", "upload"])
async def test_a_wait_that_is_not_the_backends_does_not_count(busy: World, reason: str) -> None:
    setattr(busy.line, reason, True)
    busy.pass_seconds(500)
    assert busy.line.failed is None
    setattr(busy.line, reason, None)
    busy.pass_seconds(239)
    assert busy.line.failed is None
    busy.pass_seconds(1)
    assert busy.line.failed


async def test_a_backend_that_does_not_read_an_upload_is_silent(busy: World) -> None:
    busy.line.upload, busy.line.blocked = object(), True
    busy.pass_seconds(240)
    assert busy.line.failed


async def test_a_loop_that_stood_still_makes_nobody_silent(busy: World) -> None:
    busy.now += 3600
    busy.sweep.look()
    assert busy.line.failed is None
    assert busy.line.quiet <= 2


async def test_an_unused_connection_goes_after_its_own_limit(unused: World) -> None:
    unused.pass_seconds(59)
    assert not unused.line.abandoned
    unused.pass_seconds(1)
    assert unused.line.abandoned
    assert unused.line.failed is None


async def test_age_ends_an_unused_connection_and_lets_a_busy_one_finish(busy: World) -> None:
    for _ in range(600):
        busy.line.heard = True
        busy.pass_seconds(1)
    assert busy.line.expired
    assert not busy.line.abandoned
    busy.line.idle = True
    busy.pass_seconds(1)
    assert busy.line.abandoned


async def test_the_timer_runs_only_while_there_is_something_to_watch() -> None:
    world = World()
    loop = asyncio.get_running_loop()
    assert world.sweep._timer is not None
    assert not world.sweep._timer.cancelled()
    world.sweep.unwatch(world.line)
    assert world.sweep._timer is None
    world.sweep.watch(world.line)
    assert world.sweep._timer.when() <= loop.time() + 1.1
    world.sweep.unwatch(world.line)


@pytest.mark.parametrize(("silence", "period"), [(240.0, 1.0), (5.0, 0.5), (0.3, 0.03)])
async def test_the_period_follows_the_shortest_limit_and_is_a_second_at_most(silence: float, period: float) -> None:
    sweep = Sweep(lambda: 0.0, silence, 60, 600)
    line = Line()
    sweep.watch(line)
    assert sweep._timer.when() - asyncio.get_running_loop().time() == pytest.approx(period, abs=0.1)
    sweep.unwatch(line)
