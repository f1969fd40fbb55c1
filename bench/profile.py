"""Where the balancer's time goes: a flat profile by function, taken by py-spy while it is under load.

    python -m bench.profile --py-spy PATH [--stream] [--seconds 10] [--lines 30]

`pip install py-spy`, in an environment of its own, brings the program. A function of Python counts with the C
code that it calls, kernel included; uvloop counts as `Runner.run`. How much is kernel is counted first, without py-spy.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench import proxies
from bench.children import Child, Cores, free_port
from bench.figures import Bench, Effort

_PLACE = re.compile(r"(?P<function>.+) \((?P<file>[^():]+)(?::\d+)?\)$")
ASLEEP = "Condition.wait (threading.py)"
"""The thread that writes the log waits for lines; py-spy takes its wait for work."""


def frames(stack: str) -> list[str]:
    """The functions of one stack, the outermost first, without line numbers."""
    found = []
    for frame in stack.split(";"):
        place = _PLACE.match(frame.strip())
        found.append(f"{place['function']} ({place['file']})" if place else frame.strip())
    return found


def flat(raw: str, lines: int) -> Iterator[str]:
    """Per cent of the samples in which a function ran itself, and in which it or something it called ran."""
    own: Counter[str] = Counter()
    all_: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, samples = line.rpartition(" ")
        names = frames(stack)
        if ASLEEP in names:
            continue
        own[names[-1]] += int(samples)
        for name in set(names):
            all_[name] += int(samples)
    total = max(1, own.total())
    yield f"{total} samples\n{'own %':>7}{'all %':>7}  function"
    for name, samples in own.most_common(lines):
        yield f"{100 * samples / total:7.1f}{100 * all_[name] / total:7.1f}  {name}"


def kernel_share(pid: int, before: tuple[int, int]) -> float:
    """Of its CPU time since `before`."""
    user, system = times(pid)
    return (system - before[1]) / max(1, user - before[0] + system - before[1])


def times(pid: int) -> tuple[int, int]:
    """Clock ticks in user mode and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def record(bench: Bench, py_spy: str, seconds: int, stream: bool) -> str:
    """Load it and watch. Returns py-spy's raw stacks."""
    options = ("--connections", 400, "--stream") if stream else ("--connections", 32)
    raw = bench.work / "stacks"
    before = times(bench.proxy.pid)
    bench.measure(*options, seconds=seconds)
    print(f"in the kernel: {kernel_share(bench.proxy.pid, before):.0%} of its CPU time")
    with bench.load(*options, "--seconds", seconds + 3):
        command = [py_spy, "record", "--format", "raw", "--output", str(raw)]
        subprocess.run(
            [*command, "--rate", "250", "--duration", str(seconds), "--pid", str(bench.proxy.pid)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return raw.read_text()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--py-spy", default=shutil.which("py-spy"), required=shutil.which("py-spy") is None)
    parser.add_argument("--stream", action="store_true", help="400 event streams instead of JSON requests")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=30)
    a = parser.parse_args()
    cores, port = Cores.split(), free_port()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        work = Path(directory)
        command = [sys.executable, "-m", "bench.origin"]
        origin = stack.enter_context(Child(command, cores.rest, work / "origin", talks=True))
        recipe = proxies.lb(proxies.own_command())(work, int(origin.says.readline()), port)
        balancer = stack.enter_context(Child(recipe.command, cores.proxy, work / "output", recipe.environment))
        balancer.wait_port(port, recipe.start_seconds)
        bench = Bench(balancer, port, recipe, cores, work, Effort())
        bench.warm_up()
        os.sched_setaffinity(0, cores.rest) if cores.rest else None
        print("\n".join(flat(record(bench, a.py_spy, a.seconds, a.stream), a.lines)))


if __name__ == "__main__":
    main()
