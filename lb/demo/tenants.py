"""`lb demo --tenants` from its first to its last moment."""

import asyncio
import contextlib
import signal

from rich.console import Console
from rich.live import Live

from lb.demo.appetites import APPETITES, endpoint, settings
from lb.demo.children import ChildDied
from lb.demo.crowd import Crowd
from lb.demo.plate import Plate, booked_tokens, judgement, read_ended, read_tokens, tenants_table, verdict
from lb.demo.report import how_to_use
from lb.demo.stage import Stage

FRAME_SECONDS = 0.25
PLAIN_FRAMES = 8
END_SECONDS = 24.0
"""When the last request starts at the latest, from the start of the demo, so that all ends within 30 s."""
UNHURRIED_SECONDS = 20.0
"""Whoever asks for more seconds of traffic than this gets them all."""
LEAST_SECONDS = 4.0
SETTLE_SECONDS = 10.0
FAILED, INTERRUPTED, TERMINATED = 1, 130, 143


def present(keep: bool, seconds: float, console: Console | None = None) -> int:
    """Play it. Returns the exit code: 1 when the balancer, or a child, did not do its part."""
    console = console or Console()
    try:
        with asyncio.Runner() as runner:
            return runner.run(_play(console, keep, seconds))
    except KeyboardInterrupt:
        console.print("Stopped, and everything that the demo had started.", style="dim")
        return INTERRUPTED
    except asyncio.CancelledError:
        return TERMINATED
    except ChildDied as dead:
        console.print(f"lb demo: {dead}", style="red", markup=False, highlight=False, soft_wrap=True)
        return FAILED


async def _play(console: Console, keep: bool, seconds: float) -> int:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    began = loop.time()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    console.print("lb demo --tenants: three endpoints without limits, five tenants with them", style="bold")
    async with Stage([endpoint(number) for number in (1, 2, 3)], settings()) as stage:
        if seconds <= UNHURRIED_SECONDS:
            seconds = max(LEAST_SECONDS, min(seconds, END_SECONDS - (loop.time() - began)))
        death = asyncio.create_task(stage.death())
        acts = asyncio.create_task(_acts(console, stage, seconds))
        try:
            await asyncio.wait({death, acts}, return_when=asyncio.FIRST_COMPLETED)
            if death.done():
                await death
            code = await acts
            if keep:
                keys = " ".join(each.key for each in APPETITES)
                console.print(how_to_use(stage.url, stage.admin, APPETITES[1].key), markup=False, highlight=False)
                console.print(f"The tenants' keys: {keys}", highlight=False)
                await death
            return code
        finally:
            for running in (acts, death):
                running.cancel()
            await asyncio.gather(acts, death, return_exceptions=True)


async def _acts(console: Console, stage: Stage, seconds: float) -> int:
    """Send, look into the books, judge."""
    async with Crowd(stage.url, APPETITES) as crowd:
        plates = list(crowd.plates.values())
        drawing = asyncio.create_task(_draw(console, plates))
        try:
            await crowd.run(seconds)
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)
    await _look_into_the_books(stage, plates)
    console.print(tenants_table(plates, final=True), highlight=False)
    console.print("told: tokens in the balancer's /metrics; booked: in the endpoints' own books", style="dim")
    wrongs = verdict(plates)
    console.print(judgement(wrongs), highlight=False)
    return FAILED if wrongs else 0


async def _draw(console: Console, plates: list[Plate]) -> None:
    """Show how it goes, until cancelled."""
    picture = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    with picture or contextlib.nullcontext():
        for frame in range(10**9):
            if picture is not None:
                picture.update(tenants_table(plates, final=False), refresh=True)
            elif frame % PLAIN_FRAMES == 0:
                told = [
                    f"{each.appetite.name} {each.served} answered, {each.refused.total()} refused" for each in plates
                ]
                console.print("-- " + "; ".join(told), highlight=False, soft_wrap=True)
            await asyncio.sleep(FRAME_SECONDS)  # noqa: TID251 - the pace of a display is the point


async def _look_into_the_books(stage: Stage, plates: list[Plate]) -> None:
    """A request's end is told a moment after its last byte."""
    asked, text = sum(plate.asked for plate in plates), ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while read_ended(text) < asked:
                text = await stage.metrics()
    told, booked = read_tokens(text), booked_tokens(await stage.ledgers())
    for plate in plates:
        plate.told, plate.booked = told.get(plate.appetite.name, 0), booked.get(plate.appetite.name, 0)
