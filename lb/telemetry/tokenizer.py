"""Counts tokens exactly, off the event loop, where the optional tokenizer is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module

from lb.extras import to_install
from lb.metering.estimate import Count
from lb.metering.usage import Usage
from lb.telemetry.background import Background

WAITING = 256
"""Estimates that may wait for their turn; what comes on top keeps the rough one."""
VOCABULARY = "o200k_base"
"""Of the models from gpt-4o on."""
MISSING = f"the tokenizer is not installed: {to_install('tokenizer')}"


def exact() -> Count:
    """Loads the vocabulary, which takes a second and about 150 MB. Raises ImportError with what to do about it."""
    try:
        module = import_module("bpe_openai")
    except ImportError:
        raise ImportError(MISSING) from None
    encode = module.get_encoding(VOCABULARY).encode_ordinary
    return lambda text: len(encode(text.encode("utf-8", "replace").decode()))


class Recounting:
    """Has estimates counted again by one thread, so that neither the loop nor the second core is kept from relaying."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._thread = Background("tokenizer")
        self._waiting: dict[asyncio.Future[Usage], Callable[[Usage | None], None]] = {}

    def __call__(self, recount: Callable[[Count], Usage], told: Callable[[Usage | None], None]) -> None:
        """`told` is called from the event loop, with None where the rough estimate has to do."""
        if len(self._waiting) >= WAITING:
            told(None)
            return
        counting = self._thread.run(recount, self._count)
        self._waiting[counting] = told
        counting.add_done_callback(self._done)

    def _done(self, done: asyncio.Future[Usage]) -> None:
        failed = done.cancelled() or done.exception() is not None
        told = self._waiting.pop(done, None)
        if told is not None:
            told(None if failed else done.result())

    def close(self) -> None:
        """What waits is not counted any more: the rough estimate has to do."""
        self._thread.close()
        waiting, self._waiting = self._waiting, {}
        for told in waiting.values():
            told(None)
