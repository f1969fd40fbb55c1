"""What a relayed request and a relayed event cost in CPU, and an idle stream in memory: this balancer beside others.

    python -m bench [--quick] [--reps 3] [--envoy PATH] [--litellm PATH] [--portkey PATH] [--only lb,nginx,...]

Every proxy runs alone on the first core; a backend that costs next to nothing and the load share the others. CPU is the
scheduler's run time over all threads and children of the proxy. All proxies are measured in turn, `reps` times over:
only ratios within one run mean anything. docs/performance.md says how to read the table.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench import table
from bench.children import CannotServe, Child, Cores, free_port, leave_orderly, open_files
from bench.field import Field
from bench.figures import FIGURES, Bench, Effort, Figures, Numbers, saturated_gateway, throttled_first
from bench.proxies import Make
from lb.build import COMPILED

BY_NAME = {figure.__name__: figure for figure in FIGURES}
KEPT = 2000
"""Open files of a proxy that are not held streams: connections that it keeps to the backend, above all."""
BUSY = 0.7
"""A load average above this before we start: somebody else is using the machine."""


class Run:
    """One interleaved run."""

    def __init__(self, field: Field, effort: Effort, work: Path, figures: Figures = FIGURES) -> None:
        self.field = field
        self.figures = figures
        self.effort = effort
        self.work = work
        self.cores = Cores.split()
        self.results: table.Results = {name: [] for name in field.names}

    def go(self) -> None:
        """All proxies, `reps` times."""
        with self.field.backends(self.cores, self.work):
            for rep in range(self.effort.reps):
                for name in tuple(self.results):
                    print(f"\r{rep + 1}/{self.effort.reps} {name:20}", end="", file=sys.stderr, flush=True)
                    self._measure_or_leave_out(name)
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)

    def _measure_or_leave_out(self, name: str) -> None:
        try:
            self.results[name].append(self._measure(name))
        except CannotServe as problem:
            print(f"\n{name}: {problem}", file=sys.stderr)
            if name == "lb":
                raise
            del self.results[name]

    def _measure(self, name: str) -> Numbers:
        found: Numbers = {"failed": 0}
        with self._start(name, self.field.makes[name]) as bench:
            gateway = name in self.field.gateways
            bench.warm_up(6.0 if gateway else 1.0)
            for figure in (saturated_gateway,) if gateway else self.figures:
                _add(found, figure(bench))
        if name == "lb" and self.figures == FIGURES:
            _add(found, self._throttled())
        return found

    def _throttled(self) -> Numbers:
        """Two balancers in turn on the core, so that neither is measured with the other's state."""
        plain, limited = self.field.plain_and_throttled()
        with self._start("plain", plain) as one, self._start("throttled", limited) as other:
            one.warm_up()
            other.warm_up()
            return throttled_first(one, other)

    @contextlib.contextmanager
    def _start(self, name: str, make: Make) -> Iterator[Bench]:
        work = self.work / name
        work.mkdir(exist_ok=True)
        port = free_port()
        recipe = make(work, self.field.backend_port, port)
        with Child(recipe.command, self.cores.proxy, work / "output", recipe.environment or None) as proxy:
            proxy.wait_port(port, recipe.start_seconds)
            effort = replace(self.effort, held=min(self.effort.held, recipe.held))
            yield Bench(proxy, port, recipe, self.cores, self.work, effort)


def _add(found: Numbers, more: Numbers) -> None:
    found |= {**more, "failed": found["failed"] + more.get("failed", 0)}


def main() -> int:
    """Command line. Exit code 1 when a request failed."""
    a = _arguments()
    leave_orderly()
    work = Path(tempfile.mkdtemp(prefix="lb-bench-"))
    effort = Effort.quick() if a.quick else Effort(reps=a.reps, seconds=a.seconds, stream_seconds=a.seconds + 2)
    before = os.getloadavg()[0]
    effort = replace(effort, held=min(effort.held, (open_files() - KEPT) // 2))
    figures = tuple(BY_NAME[name] for name in a.figures.split(",")) if a.figures else FIGURES
    run = Run(Field.found(a), effort, work, figures)
    _say_conditions(run, before)
    run.go()
    for line in table.lines(run.results):
        print(line)
    if a.json:
        Path(a.json).write_text(json.dumps(run.results, indent=1))
    failed = sum(numbers["failed"] for all_ in run.results.values() for numbers in all_)
    if failed:
        print(f"{failed:.0f} requests failed; what the proxies wrote is in {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    return int(failed > 0)


def _say_conditions(run: Run, before: float) -> None:
    cores = run.cores
    where = (
        f"proxy on core {_list(cores.proxy)}, backend and load on {_list(cores.rest)}" if cores.proxy else "not pinned"
    )
    print(f"{where}; {run.effort.reps} repetitions of {run.effort.seconds:g} s; load average before: {before:.2f}")
    how = "compiled (make compiled)" if COMPILED else "interpreted"
    print(f"lb: {how}; Python {platform.python_version()}")
    print(f"{run.effort.held} streams are held open for the figure of idle ones")
    if before > BUSY:
        print("NOISY: others use this machine now. Trust ratios only, and only where min..max is narrow.")
    for name, why in run.field.missing.items():
        print(f"without {name}: {why}")
    print(flush=True)


def _list(cores: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cores)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: everything once, for a moment")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--only", default="", help="comma list of the proxies to measure")
    parser.add_argument("--figures", default="", help=f"comma list of {', '.join(BY_NAME)}: measure these only")
    parser.add_argument("--nginx", default=shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"))
    parser.add_argument("--envoy", default=shutil.which("envoy"))
    parser.add_argument("--litellm", default=shutil.which("litellm"), help="the command of LiteLLM's own environment")
    parser.add_argument("--portkey", help="build/start-server.js of Portkey's gateway")
    parser.add_argument("--json", help="also write every figure of every repetition to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
