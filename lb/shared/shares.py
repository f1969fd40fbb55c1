"""How many connections each worker has open, so that none takes much more than its share of new ones."""

import mmap

_ABSENT = 2**64 - 1
_SLACK = 8
"""An eighth more than the one with fewest is as good as equal."""


class Shares:
    """Make it before the fork. Each worker writes its own number."""

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 8 * workers)).cast("Q")
        for number in range(workers):
            self.leave(number)

    def ahead(self, number: int, count: int) -> bool:
        """This worker has so many; have others clearly fewer?"""
        self._counts[number] = count
        fewest = min(self._counts)
        return count > fewest + fewest // _SLACK

    def leave(self, number: int) -> None:
        """This worker takes none: nobody waits for it."""
        self._counts[number] = _ABSENT
