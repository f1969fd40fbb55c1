"""`lb serve` that also tells, every second, how many tasks its event loops have: in the file BENCH_TASKS.

BENCH_TASKS=/tmp/tasks python -m bench.counted serve
"""

import asyncio
import os
import threading
import time
from pathlib import Path

import uvloop

from lb.cli import main

LOOPS: list[asyncio.AbstractEventLoop] = []
_new_event_loop = uvloop.new_event_loop


def _remember() -> asyncio.AbstractEventLoop:
    loop = _new_event_loop()
    LOOPS.append(loop)
    return loop


def _count(path: Path) -> None:
    while True:
        tasks = sum(len(asyncio.all_tasks(loop)) for loop in LOOPS)
        beside = path.with_suffix(".new")
        beside.write_text(str(tasks))
        beside.replace(path)
        time.sleep(1)


if __name__ == "__main__":
    uvloop.new_event_loop = _remember  # type: ignore[assignment]
    threading.Thread(target=_count, args=(Path(os.environ["BENCH_TASKS"]),), daemon=True).start()
    main()
