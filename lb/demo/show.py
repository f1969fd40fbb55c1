"""The demo from its first to its last moment."""

import asyncio
import contextlib
import signal

from rich.console import Console

from lb.demo.children import ChildDied
from lb.demo.journal import Journal
from lb.demo.latency import measure
from lb.demo.plan import ENDPOINTS, KEY
from lb.demo.report import how_to_use, present_result
from lb.demo.score import verdict
from lb.demo.screen import Scene, screen
from lb.demo.stage import Stage
from lb.status import NOT_THERE

FRAME_SECONDS = 0.15
POLL_FRAMES = 2
END_SECONDS = 24.0
"""When the last request starts at the latest, from the start of the demo, so that all ends within 30 s."""
UNHURRIED_SECONDS = 20.0
"""Whoever asks for more seconds of traffic than this gets them all."""
LEAST_SECONDS = 3.0
LONGER_SECONDS = 10.0
"""Until an endpoint has refused something, which is the point, on a machine that is slow."""
LATENCY_SECONDS = 3.0
FAILED, INTERRUPTED, TERMINATED = 1, 130, 143


def present(keep: bool, seconds: float, console: Console | None = None) -> int:
    """Play the demo. Returns the exit code: 1 when the balancer, or a child, did not do its part."""
    console = console or Console()
    show = Show(console, keep, seconds)
    try:
        with asyncio.Runner() as runner:
            return runner.run(show.play())
    except KeyboardInterrupt:
        console.print("Stopped, and everything that the demo had started.", style="dim")
        return INTERRUPTED if show.code is None else show.code
    except asyncio.CancelledError:
        return TERMINATED
    except ChildDied as dead:
        console.print(f"lb demo: {dead}", style="red", markup=False, highlight=False, soft_wrap=True)
        return FAILED


class Show:
    """One run. `code` is the exit code as soon as it is known."""

    def __init__(self, console: Console, keep: bool, seconds: float) -> None:
        self.code: int | None = None
        self._console = console
        self._keep = keep
        self._scene = Scene(of=seconds)
        self._journal = Journal()
        self._view = screen(console)
        self._curtain = contextlib.ExitStack()

    async def play(self) -> int:
        """From the first process started to the last one ended."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        task = asyncio.current_task()
        if task is not None:
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
        with self._curtain:
            self._curtain.enter_context(self._view)
            self._view.draw(self._scene)
            # Importing the SDK takes a while: the simulators start meanwhile.
            loading = asyncio.create_task(asyncio.to_thread(_load_sdk))
            async with Stage() as stage:
                await loading
                return await self._unless_one_dies(stage, began)

    async def _unless_one_dies(self, stage: Stage, began: float) -> int:
        death = asyncio.create_task(stage.death())
        acts = asyncio.create_task(self._acts(stage, began))
        try:
            await asyncio.wait({death, acts}, return_when=asyncio.FIRST_COMPLETED)
            if death.done():
                await death
            self.code = await acts
            if self._keep:
                self._say(how_to_use(stage.url, stage.admin))
                await death
            return self.code
        finally:
            for task in (acts, death):
                task.cancel()
            await asyncio.gather(acts, death, return_exceptions=True)

    async def _acts(self, stage: Stage, began: float) -> int:
        """Send, measure, judge."""
        scene = self._scene
        await self._send(stage, began)
        scene.phase = "measuring the added latency"
        self._view.draw(scene)
        latency = await measure(stage.simulators[ENDPOINTS[0].name], stage.url, LATENCY_SECONDS)
        wrongs = verdict(scene.score, await stage.refusals())
        self._curtain.close()
        present_result(self._console, scene.score, latency, wrongs)
        return FAILED if wrongs else 0

    async def _send(self, stage: Stage, began: float) -> None:
        from lb.demo.traffic import Traffic

        loop = asyncio.get_running_loop()
        scene = self._scene
        scene.url = stage.url
        if scene.of <= UNHURRIED_SECONDS:
            scene.of = max(LEAST_SECONDS, min(scene.of, END_SECONDS - (loop.time() - began)))
        scene.phase = "sending"
        stage.balancer.listen(lambda line: self._view.told(self._journal.hear(line, loop.time())))
        async with Traffic(stage.url, KEY, scene.score) as traffic:
            frames = asyncio.create_task(self._frames(stage))
            try:
                await traffic.run(scene.of, LONGER_SECONDS)
                scene.status = await stage.status()
            finally:
                frames.cancel()
        stage.balancer.listen(lambda line: None)

    async def _frames(self, stage: Stage) -> None:
        """Draw until cancelled."""
        loop = asyncio.get_running_loop()
        scene, began, number = self._scene, loop.time(), 0
        while True:
            if number % POLL_FRAMES == 0:
                with contextlib.suppress(*NOT_THERE):
                    scene.status = await stage.status()
            scene.seconds, scene.log_lines = loop.time() - began, self._journal.lines
            self._view.draw(scene)
            number += 1
            await asyncio.sleep(FRAME_SECONDS)  # noqa: TID251 - the pace of a display is the point

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _load_sdk() -> None:
    import lb.demo.traffic  # noqa: F401 - into the module cache, nothing more
