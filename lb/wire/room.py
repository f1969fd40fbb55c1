"""What all bodies of a listener may take together: of memory, and of the disk."""

from collections.abc import Callable
from typing import Final

from lb.wire.budget import Budget
from lb.wire.spool import Disk

JSON_IN_MEMORY: Final = 32 * 1024 * 1024
"""Bytes of a JSON text that may stay in memory: it is searched for the objects that it names, which forms and files do
not do."""


class Room:
    """Shared by all; what it allows may change at any time, for what comes from then on."""

    def __init__(self, failed: Callable[[str, str], None]) -> None:
        """`failed` is told the directory where a body could not be kept, and why."""
        self.memory = Budget(0)
        self.each = 0
        """Bytes of one body that are kept."""
        self.in_memory = 0
        """Those of them that stay in memory."""
        self.disk: Disk | None = None
        """For the rest; None where nothing goes to the disk."""
        self._failed = failed

    def in_memory_of(self, content_type: bytes) -> int:
        """How many bytes of a body of this type stay in memory."""
        kind = content_type.partition(b";")[0].strip().lower()
        if kind and not kind.endswith(b"json"):
            return self.in_memory
        return max(self.in_memory, min(self.each, JSON_IN_MEMORY))

    def allow(self, each: int, in_memory: int, memory: int, disk: int, directory: str) -> None:
        """In bytes: of one body, of it in memory, of all bodies in memory and on the disk, 0 for no disk."""
        self.each = each
        self.in_memory = min(each, in_memory) if disk else each
        self.memory.limit = memory
        if disk == 0:
            self.disk = None
        elif self.disk is None or self.disk.directory != directory:
            self.disk = Disk(directory, disk, lambda why: self._failed(directory, why))
        else:
            self.disk.budget.limit = disk
