"""A soak: ten minutes at 80 % of one core, with backends that misbehave and clients that leave. Is everything flat?

    python -m bench.soak [--minutes 10] [--share 0.8] [--faults 0.02]

Three backends, two of which throttle, fail, hang up and break off in the middle of replies and streams. A row every
half a minute: memory, tasks, open files, connections. After the load is gone, what is left must be what was there
before. Exit code 1 when it is not, or when something grew all the time.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import proxies
from bench.children import Child, Cores, free_port, leave_orderly, open_files

TRIAL_RATE = 2000.0
"""Requests a second of the first trial."""
KEPT_SECONDS = 75.0
"""Longer than the balancer keeps an idle connection to a backend."""
GROWTH = 1.1
"""More memory at the end than at a third of the time, by this factor, is growth."""
FILES = 1.5
"""The same for open files and tasks, whose number follows the clients and so goes up and down."""
LEFT = 8
"""Open files more than before the load, when the connections kept for the next requests have been closed."""


@dataclass(frozen=True)
class Row:
    """What the process has at one moment."""

    seconds: float
    megabytes: float
    tasks: int
    files: int
    connections: int
    in_flight: int
    attempts: int
    core: float
    """Share of its core since the row before."""

    HEAD = " seconds  memory MB  tasks  files  clients  in flight   attempts  core %"

    def __str__(self) -> str:
        return (
            f"{self.seconds:8.0f}{self.megabytes:11.1f}{self.tasks:7}{self.files:7}{self.connections:9}"
            f"{self.in_flight:11}{self.attempts:11}{self.core * 100:8.0f}"
        )


class Soak:
    """The balancer under test and what is read from it."""

    def __init__(self, balancer: Child, port: int, admin: int, tasks: Path, cores: Cores, work: Path) -> None:
        self.balancer = balancer
        self.port = port
        self.admin = admin
        self.tasks = tasks
        self.cores = cores
        self.work = work
        self.begun = time.monotonic()
        self._before = (self.begun, balancer.cpu())

    def row(self) -> Row:
        """Look at it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/status", timeout=10) as reply:
            status: dict[str, Any] = json.load(reply)
        now, cpu = time.monotonic(), self.balancer.cpu()
        then, cpu_then = self._before
        self._before = now, cpu
        return Row(
            now - self.begun,
            self.balancer.resident() / 1e6,
            int(self.tasks.read_text()),
            self.balancer.descriptors(),
            status["connections"],
            sum(backend["in_flight"] for backend in status["backends"]),
            sum(backend["served"] + backend["throttled"] + backend["faulted"] for backend in status["backends"]),
            (cpu - cpu_then) / max(1e-9, now - then),
        )

    def crowd(self, rate: float, seconds: float) -> Child:
        """Let the clients come."""
        command = [sys.executable, "-m", "bench.rough", str(self.port), proxies.PATH]
        command += ["--rate", str(rate), "--seconds", str(seconds)]
        return Child(command, self.cores.rest, self.work / "rough.log", talks=True)

    def rate_for(self, share: float) -> float:
        """Requests a second that take this share of the core, the streams included: guessed, tried, corrected."""
        rate = TRIAL_RATE
        for _ in range(3):
            with self.crowd(rate, 8) as crowd:
                time.sleep(2)
                self.row()
                time.sleep(5)
                rate *= min(4.0, share / self.row().core)
                crowd.finish(30)
        return rate


@contextlib.contextmanager
def balancer(faults: float, work: Path) -> Iterator[Soak]:
    """Backends and the balancer in front of them."""
    cores = Cores.split()
    port, admin, tasks = free_port(), free_port(), work / "tasks"
    settings = {"LB_ADMIN_PORT": str(admin), "BENCH_TASKS": str(tasks)}
    with contextlib.ExitStack() as stack:
        for number, share in enumerate((faults, faults, 0.0), 1):
            command = [sys.executable, "-m", "bench.origin", "--share-of-faults", str(share)]
            origin = stack.enter_context(Child(command, cores.rest, work / "origin.log", talks=True))
            settings |= {
                f"BACKEND_{number}_URL": f"http://127.0.0.1:{origin.says.readline().strip()}",
                f"BACKEND_{number}_APIKEY": "bench",
            }
        recipe = proxies.lb([sys.executable, "-m", "bench.counted", "serve"], **settings)(work, 0, port)
        child = stack.enter_context(Child(recipe.command, cores.proxy, work / "output", recipe.environment))
        child.wait_port(port, 15)
        time.sleep(1.5)
        yield Soak(child, port, admin, tasks, cores, work)


def soak(it: Soak, rate: float, minutes: float) -> tuple[list[Row], dict[str, int]]:
    """Load it, print a row every half a minute, and one more after everybody has gone."""
    seconds = minutes * 60
    step = min(30.0, seconds / 6)
    rows = []
    it.begun = time.monotonic()
    with it.crowd(rate, seconds) as crowd:
        it.row()
        for number in range(1, int(seconds / step) + 1):
            time.sleep(max(0.0, it.begun + number * step - 0.5 - time.monotonic()))
            rows.append(it.row())
            print(rows[-1], flush=True)
        seen: dict[str, int] = json.loads(crowd.finish(60))
    print(f"{it.row()}   everybody has gone", flush=True)
    time.sleep(KEPT_SECONDS)
    rows.append(it.row())
    print(f"{rows[-1]}   and idle connections to backends were closed", flush=True)
    return rows, seen


def verdict(before: Row, rows: list[Row]) -> list[str]:
    """What is not flat."""
    *loaded, after = rows
    third, last = loaded[len(loaded) // 3], loaded[-1]
    problems = []
    if last.megabytes > third.megabytes * GROWTH:
        problems.append(f"memory grew from {third.megabytes:.1f} to {last.megabytes:.1f} MB")
    if after.tasks > before.tasks:
        problems.append(f"{after.tasks} tasks are left, {before.tasks} were there before")
    if after.connections or after.in_flight:
        problems.append(f"{after.connections} connections and {after.in_flight} requests are left")
    problems += [
        f"{name} grew from {getattr(third, name)} to {getattr(last, name)}"
        for name in ("files", "tasks")
        if getattr(last, name) > getattr(third, name) * FILES
    ]
    if after.files > before.files + LEFT:
        problems.append(f"{after.files} files are open, {before.files} were before")
    return problems


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--share", type=float, default=0.8, help="of one core")
    parser.add_argument("--faults", type=float, default=0.02, help="share of what two of the three backends do")
    a = parser.parse_args()
    leave_orderly()
    open_files()
    with tempfile.TemporaryDirectory(prefix="lb-soak-") as directory, balancer(a.faults, Path(directory)) as it:
        before = it.row()
        print(f"{Row.HEAD}\n{before}   before the load", flush=True)
        rate = it.rate_for(a.share)
        print(f"{rate:.0f} requests a second and 100 streams take {a.share:.0%} of a core", flush=True)
        rows, seen = soak(it, rate, a.minutes)
        print(", ".join(f"{name} {number}" for name, number in seen.items()))
        problems = verdict(before, rows)
        print("\n".join(problems) if problems else "flat")
        return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
