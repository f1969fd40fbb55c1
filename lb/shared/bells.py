"""One bell for each process of the family: who hears it looks at what changed. A bell says nothing itself."""

import os
from contextlib import suppress


class Bells:
    """Pipes that wake. Make them before the fork."""

    def __init__(self, count: int) -> None:
        self._pipes = [os.pipe() for _ in range(count)]
        for pipe in self._pipes:
            for end in pipe:
                os.set_blocking(end, False)

    def fd(self, number: int) -> int:
        """Readable when the bell has rung."""
        return self._pipes[number][0]

    def ring(self, number: int) -> None:
        """Never waits: a full pipe has rung already, a closed one has nobody to wake."""
        with suppress(OSError):
            os.write(self._pipes[number][1], b"!")

    def silence(self, number: int) -> None:
        """Take note of all that has rung. Call it before looking, so that what comes meanwhile rings again."""
        with suppress(BlockingIOError):
            while len(os.read(self._pipes[number][0], 4096)) == 4096:
                pass
