"""`make soak`: rounds of 10,000 mixed requests, 200 at once, while the backends do everything that they should not.

Run as a script it prints its findings as Markdown (docs/soak.md holds a run) and ends with 0 if all is well.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from soak_books import Books
from soak_clients import Load
from soak_plan import ABSORBED, COOLDOWN, LATENCY, PATIENCE, rules
from soak_report import report
from soak_world import Standing, World

PHASES = 3
"""Of a round: in each another simulator behaves well."""
KEEP_SECONDS = 60
"""The balancer keeps unused connections to backends that long."""


@dataclass
class Round:
    """What came of one round."""

    books: Books
    seconds: float
    resident: float
    """MiB after it."""
    standing: Standing


@dataclass
class Findings:
    """Of the whole soak."""

    width: int
    total: int
    before: Standing
    rounds: list[Round] = field(default_factory=list)
    after: Standing | None = None

    @property
    def absorbed(self) -> Counter[str]:
        return sum((one.books.absorbed for one in self.rounds), Counter())

    @property
    def wrong(self) -> list[str]:
        return [line for one in self.rounds for line in one.books.wrong]

    @property
    def slope(self) -> float:
        """MiB of RSS per 10,000 requests by least squares, from the end of round 2 on: the first is the warm-up."""
        points = [(number * self.total / 10_000, one.resident) for number, one in enumerate(self.rounds)][1:]
        if len(points) < 2:
            return 0.0
        middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
        spread = sum((x - middle_x) ** 2 for x, _ in points)
        return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread

    def missing(self, least: int) -> list[str]:
        """Faults that were absorbed less often than this."""
        return [f"{kind}: absorbed {self.absorbed[kind]} times" for kind in ABSORBED if self.absorbed[kind] < least]


def limits(patience: float) -> tuple[dict[str, float], dict[str, float]]:
    """Of the two kinds of phases."""
    return (
        {"max_cooldown_seconds": COOLDOWN, "first_event_seconds": patience, "http_timeout_seconds": 30},
        {"max_cooldown_seconds": COOLDOWN, "first_event_seconds": 0, "http_timeout_seconds": patience},
    )


class Director:
    """Changes which simulators misbehave, and the balancer's limits under load."""

    def __init__(self, world: World, patience: float) -> None:
        self._world = world
        self._patience = patience
        self._phase = 0

    async def through(self, load: Load) -> None:
        """Direct one round."""
        for phase in range(PHASES):
            while len(load.asked) < load.total * phase // PHASES:  # noqa: ASYNC110 - two hundred clients count on
                await asyncio.sleep(0.02)
            await self._turn()

    async def _turn(self) -> None:
        """Another one becomes good, and the one that was good stays so until what the other asked for is over.

        Nothing may hang for the long idle limit: the faults that want the short one end before it, and begin after.
        """
        number, self._phase = self._phase, self._phase + 1
        good, was_good, bad = (number % 3, (number - 1) % 3, (number + 1) % 3)
        short = number % 2 == 1
        await self._world.misbehave(good, [])
        if not short:
            await self._world.misbehave(bad, rules(number, self._patience, idle_limit=False))
        self._world.configure(limits(self._patience)[short])
        await asyncio.sleep(COOLDOWN + LATENCY[1] + 0.2)
        for other in (was_good, bad):
            await self._world.misbehave(other, rules(number, self._patience, idle_limit=short))


async def soak(
    rounds: int,
    total: int,
    width: int,
    *,
    wait_for_idle: bool,
    place: Path | None = None,
    patience: float = PATIENCE,
) -> Findings:
    """Run it all. `wait_for_idle`: at the end wait until unused backend connections are closed, else have a reload
    close them. `place` keeps the balancer's log. `patience`, in seconds, is more than a backend that behaves ever needs
    on this machine: who is left before it could answer is an error that no fault explains."""
    async with AsyncExitStack() as stack:
        world = World(place or Path(stack.enter_context(tempfile.TemporaryDirectory())))
        await world.start(stack, total * 2, limits(patience)[0])
        findings = Findings(width, total, await world.standing())
        director = Director(world, patience)
        log = _Tail(world.log)
        for number in range(rounds):
            findings.rounds.append(await _round(world, director, log, Load(world.url, total, width, number)))
        if wait_for_idle:
            await asyncio.sleep(KEEP_SECONDS + 3)
        else:
            world.configure({"http_timeout_seconds": 29})
        await settled(world)
        findings.after = await world.standing()
        return findings


async def _round(world: World, director: Director, log: "_Tail", load: Load) -> Round:
    for number in range(3):
        await world.sim(number, "reset", {})
    began = time.monotonic()
    directing = asyncio.create_task(director.through(load))
    await load.run()
    seconds = time.monotonic() - began
    await directing
    for number in range(3):
        await world.misbehave(number, [])
    await settled(world)
    books = Books()
    books.close(load.asked, [await world.sim(number, "received") for number in range(3)], log.fresh())
    return Round(books, seconds, world.resident(), await world.standing())


async def settled(world: World, seconds: float = 30) -> None:
    """Wait until no request is under way and every client connection is closed."""
    async with asyncio.timeout(seconds):
        while True:
            status = await world.status()
            if not status["connections"] and not any(row["in_flight"] for row in status["backends"]):
                break
            await asyncio.sleep(0.1)
    await world.told()


class _Tail:
    """Reads what was written to a file since the last time."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._at = 0

    def fresh(self) -> Iterator[bytes]:
        with self._place.open("rb") as file:
            file.seek(self._at)
            yield from file
            self._at = file.tell()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--requests", type=int, default=10_000, help="of each round")
    parser.add_argument("--width", type=int, default=200, help="requests at once")
    parser.add_argument("--hasty", action="store_true", help="do not wait for unused connections to age at the end")
    parser.add_argument("--place", type=Path, help="a directory that keeps the balancer's log")
    told = parser.parse_args()
    findings = asyncio.run(soak(told.rounds, told.requests, told.width, wait_for_idle=not told.hasty, place=told.place))
    text, well = report(findings)
    sys.stdout.write(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
