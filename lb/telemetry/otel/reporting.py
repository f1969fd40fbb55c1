"""Sends metrics again and again. Counts only grow, so that a report which is lost is made good by the next one."""

import asyncio
from collections.abc import Callable

from lb.telemetry.background import Background
from lb.telemetry.otel.exporting import Say, Unsent
from lb.telemetry.otel.measuring import Measured, Measuring
from lb.telemetry.otel.otlp import OtlpMetrics
from lb.telemetry.otel.points import Points
from lb.telemetry.tallies import Snapshot


class Reporting:
    """One receiver of metrics."""

    def __init__(
        self,
        measuring: Measuring,
        read: Callable[[], Snapshot],
        points: Points,
        send: OtlpMetrics,
        wall: Callable[[], float],
        say: Say,
    ) -> None:
        """`read` gives the balancer's own metrics, on the event loop."""
        self._measuring = measuring
        self._read = read
        self._points = points
        self._send = send
        self._wall = wall
        self._say = say
        self._thread = Background("metrics")
        self._failing = False
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Future[None] | None = None

    def start(self, seconds: float) -> None:
        """Report every so often."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._due, seconds)

    def _due(self, seconds: float) -> None:
        if self._running is None or self._running.done():
            self._running = self._report()
        self.start(seconds)

    def _report(self) -> "asyncio.Future[None]":
        """What is known now, made and sent in the thread."""
        told = list(self._measuring.show()), self._read(), int(self._wall() * 1e9)
        return self._thread.run(self._try, *told)

    def _try(self, measured: list[Measured], snapshot: Snapshot, now: int) -> None:
        try:
            refused = self._send.send(self._points.encode(measured, snapshot, now))
        except Unsent as problem:
            self._tell(problem.reason)
        except Exception as bug:  # of a library: reports go on
            self._tell(f"{type(bug).__name__}: {bug}")
        else:
            if self._failing:
                self._say("info", "Metrics are exported again", exporter="otlp")
            self._failing = False
            if refused:
                self._say("warning", "The receiver refused data points", exporter="otlp", refused=refused)

    def _tell(self, reason: str) -> None:
        if not self._failing:
            self._say("warning", "Metrics cannot be exported; traffic goes on", exporter="otlp", reason=reason)
        self._failing = True

    async def close(self, seconds: float) -> None:
        """The last report, within this time."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        await asyncio.wait([self._report()], timeout=seconds)
        self._thread.close()
        self._send.close()
