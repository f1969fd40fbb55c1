"""`lb serve` that also tells how many tasks run: on SIGUSR1 it writes the number to the file in SOAK_TASKS.

Nothing of the balancer is changed: the loop that it asks uvloop for gets one more signal handler.
"""

import asyncio
import gc
import os
import signal
from pathlib import Path

import uvloop

from lb.cli import main

new_event_loop = uvloop.new_event_loop


def watched_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop's that answers SIGUSR1."""
    loop = new_event_loop()
    loop.add_signal_handler(signal.SIGUSR1, tell, loop)
    return loop


def tell(loop: asyncio.AbstractEventLoop) -> None:
    """Write the count in one piece, so that nobody reads half of it."""
    gc.collect()
    place = Path(os.environ["SOAK_TASKS"])
    fresh = place.with_suffix(".new")
    fresh.write_text(str(len(asyncio.all_tasks(loop))))
    fresh.rename(place)


if __name__ == "__main__":
    uvloop.new_event_loop = watched_loop
    main()
