"""Where the meters' numbers are kept: in this process, or where all workers see them."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from lb.metering.meter import Cells

MAX_WORKERS = 128


class Book(Protocol):
    """Where the meters' cells are."""

    turn: AbstractContextManager[object]
    """Held around every look and change, so that workers take turns."""
    workers: int
    own: int
    """Which of the workers this is."""

    def cells(self, name: str, size: int) -> Cells | None:
        """The cells of this name, the same for all; None when there is no room for more."""


class LocalBook:
    """Cells of one process."""

    workers: int = 1
    own: int = 0

    def __init__(self) -> None:
        self.turn: AbstractContextManager[object] = nullcontext()  # one thread, and no wait while it is held
        self._cells: dict[str, Cells] = {}

    def cells(self, name: str, size: int) -> Cells:
        """Kept for good: their names come from the configuration."""
        return self._cells.setdefault(name, [0] * size)
