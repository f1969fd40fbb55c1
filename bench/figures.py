"""The figures: each is one load on one running proxy, and what it cost."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.children import CannotServe, Child, Cores
from bench.proxies import Recipe

Numbers = dict[str, float]
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Effort:
    """How much is measured. `quick` is for a smoke test: its figures mean nothing."""

    reps: int = 3
    seconds: float = 3.0
    stream_seconds: float = 5.0
    gateway_seconds: float = 15.0
    """A gateway answers a hundred requests a second: it takes longer to get warm and to count them."""
    rate: int = 4000
    deployments: int = 600
    deployment_rate: int = 3000
    streams: int = 400
    delay_streams: int = 100
    held: int = 10_000
    """A proxy needs two open files for each, so that the limit on those may allow fewer."""

    @classmethod
    def quick(cls) -> "Effort":
        short = {"seconds": 0.3, "stream_seconds": 0.8, "deployment_rate": 150}
        return cls(reps=1, rate=200, deployments=40, streams=20, delay_streams=5, held=50, **short)


class Bench:
    """One proxy that runs, and the load that is put on it."""

    def __init__(self, proxy: Child, port: int, recipe: Recipe, cores: Cores, work: Path, effort: Effort) -> None:
        self.proxy = proxy
        self.port = port
        self.recipe = recipe
        self.cores = cores
        self.work = work
        self.effort = effort

    def load(self, *options: str | float, path: str = "") -> Child:
        """Start a load generator."""
        command = [sys.executable, "-m", "bench.load", str(self.port), path or self.recipe.path, *map(str, options)]
        command += [word for header in self.recipe.headers for word in ("--header", header)]
        return Child(command, self.cores.rest, self.work / "load.log", talks=True)

    def measure(self, *options: str | float, path: str = "", seconds: float = 0.0) -> Numbers:
        """Load it, and add the CPU seconds that the proxy took to what the load saw."""
        seconds = seconds or self.effort.seconds
        before = self.proxy.cpu()
        with self.load(*options, "--seconds", seconds, path=path) as load:
            seen: Numbers = json.loads(load.finish(seconds + 60))
        seen["cpu"] = self.proxy.cpu() - before
        return seen

    def warm_up(self, seconds: float = 1.0) -> None:
        """Connections made, caches filled, memory for the load taken. Raises CannotServe when nothing is answered."""
        seen = self.measure("--connections", 32, seconds=min(seconds, self.effort.seconds * 2))
        if not seen["ok"]:
            raise CannotServe("answers no request")


def saturated(bench: Bench, seconds: float = 0.0) -> Numbers:
    """Requests as fast as 32 clients get them answered."""
    seen = bench.measure("--connections", 32, seconds=seconds)
    return {
        "json": _each(seen, "ok"),
        "json rate": seen["ok"] / seen["seconds"],
        "json busy": seen["cpu"] / seen["seconds"] * 100,
        "failed": seen["bad"],
    }


def paced(bench: Bench) -> Numbers:
    """The same number of requests a second through each."""
    seen = bench.measure("--connections", 32, "--rate", bench.effort.rate)
    return {"paced": _each(seen, "ok"), "paced p50": seen["p50"], "paced p99": seen["p99"], "failed": seen["bad"]}


def traced(bench: Bench) -> Numbers:
    """The same, each head with a `traceparent` of its own, so that none is known from the one before it."""
    seen = bench.measure("--connections", 32, "--rate", bench.effort.rate, "--traced")
    return {"traced": _each(seen, "ok"), "failed": seen["bad"]}


def events(bench: Bench) -> Numbers:
    """Event streams: 50 events a second on each."""
    seen = bench.measure("--connections", bench.effort.streams, "--stream", seconds=bench.effort.stream_seconds)
    return {"event": _each(seen, "events"), "event rate": seen["events"] / seen["seconds"], "failed": seen["bad"]}


def delays(bench: Bench) -> Numbers:
    """How long an event is on its way from the backend's clock to the client's, the proxy being far from busy."""
    seen = bench.measure("--connections", bench.effort.delay_streams, "--stream", seconds=bench.effort.stream_seconds)
    return {"delay p50": seen["p50"], "delay p99": seen["p99"], "failed": seen["bad"]}


def idle_streams(bench: Bench) -> Numbers:
    """Resident memory of each stream that is open and silent."""
    before = bench.proxy.resident()
    wanted = bench.effort.held
    with bench.load(
        "--connections",
        wanted,
        "--hold",
        "--seconds",
        60 + SETTLE_SECONDS,
        path=bench.recipe.path.replace("/chat/chat/", "/hold/chat/"),
    ) as load:
        seen = json.loads(load.says.readline())
        grown = bench.proxy.resident() - before
    return {"idle": grown / 1024 / max(1, seen["held"]), "failed": seen["bad"] + wanted - seen["held"]}


def throttled_first(plain: Bench, throttled: Bench) -> Numbers:
    """A request that meets a 429 at its first backend, beside one that does not, at the same rate.

    Each connection asks for a deployment of its own, seldom enough that it has cooled down when it is asked again.
    """
    path = plain.recipe.path.replace("/chat/chat/", "/chat{}/chat/")
    load = ("--connections", plain.effort.deployments, "--rate", plain.effort.deployment_rate)
    alone = plain.measure(*load, path=path)
    second = throttled.measure(*load, "--look-for", "x-lb-attempts: 2", path=path)
    return {
        "after 429": _each(second, "ok"),
        "without 429": _each(alone, "ok"),
        "met 429": 100 * second["counted"] / max(1, second["ok"]),
        "failed": alone["bad"] + second["bad"],
    }


def saturated_gateway(bench: Bench) -> Numbers:
    """The same, for one that takes milliseconds for each."""
    return saturated(bench, bench.effort.gateway_seconds)


def _each(seen: Numbers, what: str) -> float:
    """Microseconds of CPU for each."""
    return seen["cpu"] / max(1, seen[what]) * 1e6


Figures = tuple[Callable[[Bench], Numbers], ...]
FIGURES: Figures = (saturated, paced, traced, events, delays, idle_streams)
