"""What all workers together have used of each budget: numbers in memory that all of them see, under one lock.

The kernel keeps the lock (fcntl(2), a POSIX record lock), and gives it back when a worker ends, however it ends.
"""

import fcntl
import mmap
from contextlib import AbstractContextManager
from hashlib import blake2b

from lb.metering.meter import Cells, Window
from lb.shared.claims import unnamed_file

ROWS = 4096
"""Budgets; a row that was taken stays taken, so that a reload finds again what was used."""
_KEY = 16
_WIDTH = Window.SIZE


class Ledger:
    """Make it before the fork. Memory that no budget uses is never touched, so it costs nothing."""

    def __init__(self, workers: int, rows: int = ROWS) -> None:
        self.workers = workers
        self.rows = rows
        self.lock = unnamed_file("lb-ledger")
        self.keys = mmap.mmap(-1, rows * _KEY)
        self.words = memoryview(mmap.mmap(-1, rows * _WIDTH * 8)).cast("q")


class _Turn:
    """The lock, held."""

    def __init__(self, lock: int) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._lock, fcntl.LOCK_UN)


class WorkerBook:
    """`metering.book.Book` for one worker."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.turn: AbstractContextManager[object] = _Turn(ledger.lock)
        self._ledger = ledger
        self.workers = ledger.workers
        self.own = number

    def cells(self, name: str, size: int) -> Cells | None:
        """A row, found by a digest of the name; to be asked for under the lock. None when all rows are taken."""
        if size > _WIDTH:
            raise ValueError(f"a row has {_WIDTH} cells")
        ledger, key = self._ledger, blake2b(name.encode(), digest_size=_KEY).digest()
        first = int.from_bytes(key[:4], "little")
        for step in range(ledger.rows):
            row = (first + step) % ledger.rows
            found = ledger.keys[row * _KEY : (row + 1) * _KEY]
            if found == bytes(_KEY):
                ledger.keys[row * _KEY : (row + 1) * _KEY] = key
            if found in (key, bytes(_KEY)):
                return ledger.words[row * _WIDTH : (row + 1) * _WIDTH]
        return None
