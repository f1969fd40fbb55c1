"""A thread beside the event loop."""

import asyncio
import subprocess
import sys
import threading

import pytest

from lb.telemetry.background import Background


async def test_calls_come_back_on_the_loop_in_their_order() -> None:
    thread = Background("x")
    ran: list[str] = []
    calls = [thread.run(lambda name: ran.append(name) or threading.current_thread().name, name) for name in "abc"]
    assert await asyncio.gather(*calls) == ["x"] * 3
    assert ran == ["a", "b", "c"]
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    thread.close()


async def test_after_the_end_nothing_more_begins() -> None:
    thread = Background("x")
    begun, gate = threading.Event(), threading.Event()
    ran: list[int] = []
    running = thread.run(lambda: (begun.set(), gate.wait(10)))
    waiting = thread.run(ran.append, 1)
    await asyncio.to_thread(begun.wait, 10)
    thread.close()
    gate.set()
    await asyncio.wait([running, waiting])
    assert running.cancelled()
    assert waiting.cancelled()
    assert ran == []


HANGS = """
import asyncio, threading
from lb.telemetry.background import Background

async def main():
    thread = Background("x")
    begun = threading.Event()
    thread.run(lambda: (begun.set(), threading.Event().wait(60)))
    await asyncio.to_thread(begun.wait, 10)
    thread.close()

asyncio.run(main())
"""


def test_a_call_that_hangs_does_not_hold_the_end_of_the_process() -> None:
    subprocess.run([sys.executable, "-c", HANGS], check=True, timeout=20)  # noqa: S603 - our own program
