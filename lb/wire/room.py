"""What all bodies of a listener may take together: of memory, and of the disk."""

from collections.abc import Callable

from lb.wire.budget import Budget
from lb.wire.spool import Disk


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
