"""One thread beside the event loop that never holds the end of the process."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs calls one after the other. The thread is a daemon: those of a `ThreadPoolExecutor` are waited for when the
    interpreter ends, however long a receiver hangs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._running: dict[asyncio.Future[Any], Future[Any]] = {}
        self._thread: Thread | None = None

    def run(self, call: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        """What comes of the call; to be asked for on the event loop."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        outcome: Future[T] = Future()
        awaited = asyncio.wrap_future(outcome)
        self._running[awaited] = outcome
        awaited.add_done_callback(self._running.pop)
        self._calls.put((outcome, partial(call, *arguments)))
        return awaited

    def close(self) -> None:
        """What has not begun is not begun any more, and nobody waits for what has."""
        for awaited, outcome in self._running.items():
            outcome.cancel()  # at once, while the other waits for the loop's next turn
            awaited.cancel()
        self._calls.put(None)

    def _run(self) -> None:
        while (due := self._calls.get()) is not None:
            outcome, call = due
            if outcome.set_running_or_notify_cancel():
                try:
                    found = call()
                except BaseException as failed:  # it belongs to whoever asked for it
                    outcome.set_exception(failed)
                else:
                    outcome.set_result(found)
