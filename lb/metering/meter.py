"""What was used lately, in a few numbers that several processes may share.

A meter keeps its state in cells: whole numbers in an array of its own, or in memory that all workers see.
"""

from abc import abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf
from typing import ClassVar, Protocol

SLICES = 240
"""Of a window: each entry is forgotten up to one slice late, which is a quarter of a second in a minute."""
_KEPT = SLICES + 1
"""Slices that count: the one that has just begun, and all that have a moment within the window."""
RUNNING_HINT = 1.0
"""Seconds to wait for a running request to end, which nobody can know."""
DAY = 86_400


class Cells(Protocol):
    """Whole numbers of 64 bits, zero at first."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


class Meter:
    """Adds up what is used, in a ring of times: the first cell is the sum, the second the number of the last time, and
    behind them stand as many times as are `kept`. Each entry has a mark, the number of its time, so that it can be
    corrected."""

    __slots__ = ("cells", "ends", "kept", "number", "place")

    def __init__(self, cells: Cells, kept: int, number: int = 0, ends: float = 0.0) -> None:
        self.cells = cells
        self.kept = kept
        self.number = number
        """The mark of what is taken now."""
        self.place = 2 + number % kept
        """Its cell."""
        self.ends = ends
        """When that is over: until then the sum is right as it stands."""

    def advance(self, now: float) -> None:
        """Forget what no longer counts. To be asked before anything else, once it `ends`, or once another worker, whose
        wall may be ahead of ours, has advanced it."""

    def used(self, now: float) -> int:
        """In all."""
        if now >= self.ends or self.cells[1] != self.number:
            self.advance(now)
        return self.cells[0]

    def settle(self, now: float, mark: int, reserved: int, real: int) -> None:
        """What was reserved turned out to be `real`. Less counts from then on as of the mark; more is dated now, since
        nobody could have known of it before."""
        cells, kept = self.cells, self.kept
        if now >= self.ends or cells[1] != self.number:
            self.advance(now)
        if real > reserved:
            mark = self.number
        if cells[1] - mark < kept:
            cells[2 + mark % kept] += real - reserved
            cells[0] += real - reserved

    @abstractmethod
    def wait(self, now: float, excess: int) -> float:
        """Seconds until `excess` of what is used now is forgotten."""

    @abstractmethod
    def keep(self, now: float) -> float:
        """Seconds until all that is used now is forgotten, whatever it is."""

    def period(self, now: float) -> int:
        """The number of the day or month; 0 for what slides."""
        return 0


class Window(Meter):
    """The last so many seconds, sliding, in slices."""

    SIZE: ClassVar[int] = _KEPT + 2
    __slots__ = ("_width",)

    def __init__(self, cells: Cells, seconds: float = 60.0) -> None:
        super().__init__(cells, _KEPT)
        self._width = seconds / SLICES

    def wait(self, now: float, excess: int) -> float:
        self.advance(now)
        last = self.cells[1]
        for number in range(last - SLICES, last + 1):
            excess -= self.cells[2 + number % _KEPT]
            if excess <= 0:
                return max(0.0, (number + _KEPT) * self._width - now)
        return _KEPT * self._width

    def keep(self, now: float) -> float:
        return _KEPT * self._width

    def advance(self, now: float) -> None:
        """Time does not go back."""
        cells, number = self.cells, int(now / self._width)
        last = cells[1]
        self.number, self.ends = max(number, last), (number + 1) * self._width
        self.place = 2 + self.number % _KEPT
        if number <= last:
            return
        for gone in range(max(last + 1, number - SLICES), number + 1):
            place = 2 + gone % _KEPT
            if cells[place]:
                cells[0] -= cells[place]
                cells[place] = 0
        if number // SLICES > last // SLICES:  # a worker that dies in the middle leaves a sum that is wrong
            cells[0] = sum([cells[2 + place] for place in range(_KEPT)])
        cells[1] = number


class Calendar(Meter):
    """The running day or month, UTC. `wall` makes seconds since the epoch out of `now`; of several workers, the one
    whose wall is ahead begins it for all. Only its sum is ever read, not its one time."""

    __slots__ = ("_months", "_wall")

    def __init__(self, cells: Cells, wall: Callable[[float], float], *, months: bool) -> None:
        super().__init__(cells, 1)
        self._wall = wall
        self._months = months

    def wait(self, now: float, excess: int) -> float:
        if now >= self.ends or self.cells[1] != self.number:
            self.advance(now)
        return max(0.0, self.ends - now)

    def keep(self, now: float) -> float:
        return self.wait(now, 0)

    def period(self, now: float) -> int:
        if now >= self.ends or self.cells[1] != self.number:
            self.advance(now)
        return self.number

    def advance(self, now: float) -> None:
        wall = self._wall(now)
        day = datetime.fromtimestamp(wall, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start = day.replace(day=1) if self._months else day
        following = (start + timedelta(days=32)).replace(day=1) if self._months else day + timedelta(days=1)
        number = start.year * 12 + start.month if self._months else int(start.timestamp()) // DAY
        self.ends = now + following.timestamp() - wall
        if self.cells[1] < number:
            self.cells[0], self.cells[1] = 0, number
        self.number = self.cells[1]


class Running(Meter):
    """What runs right now, whenever it began. Each worker has a cell of its own, so that the count of one that died
    can be dropped."""

    __slots__ = ()

    def __init__(self, cells: Cells, workers: int = 1, own: int = 0) -> None:
        super().__init__(cells, workers, own, inf)

    def begin(self) -> None:
        """What ran in a process that had this place before has ended with it."""
        self.cells[self.place] = 0
        self.cells[0] = sum([self.cells[2 + worker] for worker in range(self.kept)])

    def wait(self, now: float, excess: int) -> float:
        return RUNNING_HINT

    def keep(self, now: float) -> float:
        return 0.0
