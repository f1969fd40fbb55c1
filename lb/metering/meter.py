"""What was used lately, in a few numbers that several processes may share.

A meter keeps its state in cells: whole numbers in an array of its own, or in memory that all workers see.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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


class Meter(Protocol):
    """Adds up what is used. `mark`, a number from 0, remembers when that was, so that it can be corrected."""

    def used(self, now: float) -> int: ...

    def take(self, now: float, amount: int, limit: int) -> int:
        """Add, if that is not more than `limit` in all. Returns the mark, or -1 where there is no room."""

    def settle(self, now: float, mark: int, reserved: int, real: int) -> None:
        """What was reserved turned out to be `real`. Less counts from then on as of the mark; more is dated now, since
        nobody could have known of it before."""

    def wait(self, now: float, excess: int) -> float:
        """Seconds until `excess` of what is used now is forgotten."""

    def keep(self, now: float) -> float:
        """Seconds until all that is used now is forgotten, whatever it is."""

    def period(self, now: float) -> int:
        """The number of the day or month; 0 for what slides."""


class Window:
    """The last so many seconds, sliding. The cells are the sum, the last slice, and the slices in a ring."""

    SIZE: ClassVar[int] = _KEPT + 2

    def __init__(self, cells: Cells, seconds: float = 60.0) -> None:
        self._cells = cells
        self._width = seconds / SLICES
        self._number = 0
        self._ends = 0.0
        """When the slice ends in which we were last asked: until then the sum is right as it stands."""

    def used(self, now: float) -> int:
        if now >= self._ends:
            self._advance(now)
        return self._cells[0]

    def take(self, now: float, amount: int, limit: int) -> int:
        if now >= self._ends:
            self._advance(now)
        cells = self._cells
        used = cells[0] + amount
        if used > limit:
            return -1
        number = self._number
        cells[2 + number % _KEPT] += amount
        cells[0] = used
        return number

    def settle(self, now: float, mark: int, reserved: int, real: int) -> None:
        if now >= self._ends:
            self._advance(now)
        cells = self._cells
        if real > reserved:
            mark = self._number
        if cells[1] - mark < _KEPT:
            cells[2 + mark % _KEPT] += real - reserved
            cells[0] += real - reserved

    def wait(self, now: float, excess: int) -> float:
        self._advance(now)
        last = self._cells[1]
        for number in range(last - SLICES, last + 1):
            excess -= self._cells[2 + number % _KEPT]
            if excess <= 0:
                return max(0.0, (number + _KEPT) * self._width - now)
        return _KEPT * self._width

    def keep(self, now: float) -> float:
        return _KEPT * self._width

    def period(self, now: float) -> int:
        return 0

    def _advance(self, now: float) -> None:
        """Forget what has left the window. Time does not go back."""
        cells, number = self._cells, int(now / self._width)
        last = cells[1]
        self._number, self._ends = max(number, last), (number + 1) * self._width
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


class Calendar:
    """The running day or month, UTC. The cells are the sum and the number of the period.

    `wall` makes seconds since the epoch out of `now`.
    """

    SIZE: ClassVar[int] = 2

    def __init__(self, cells: Cells, wall: Callable[[float], float], *, months: bool) -> None:
        self._cells = cells
        self._wall = wall
        self._months = months
        self._number = 0
        self._ends = 0.0
        """Of the period, as `now` counts."""

    def used(self, now: float) -> int:
        self._advance(now)
        return self._cells[0]

    def take(self, now: float, amount: int, limit: int) -> int:
        self._advance(now)
        used = self._cells[0] + amount
        if used > limit:
            return -1
        self._cells[0] = used
        return self._cells[1]

    def settle(self, now: float, mark: int, reserved: int, real: int) -> None:
        self._advance(now)
        if real > reserved or self._cells[1] == mark:
            self._cells[0] += real - reserved

    def wait(self, now: float, excess: int) -> float:
        self._advance(now)
        return max(0.0, self._ends - now)

    def keep(self, now: float) -> float:
        return self.wait(now, 0)

    def period(self, now: float) -> int:
        self._advance(now)
        return self._cells[1]

    def _advance(self, now: float) -> None:
        if now >= self._ends:
            self._look_up(now)
        if self._cells[1] < self._number:
            self._cells[0], self._cells[1] = 0, self._number

    def _look_up(self, now: float) -> None:
        wall = self._wall(now)
        day = datetime.fromtimestamp(wall, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start = day.replace(day=1) if self._months else day
        following = (start + timedelta(days=32)).replace(day=1) if self._months else day + timedelta(days=1)
        self._ends = now + following.timestamp() - wall
        self._number = start.year * 12 + start.month if self._months else int(start.timestamp()) // DAY


class Running:
    """What runs right now. Each worker has a cell of its own, so that the count of one that died can be dropped."""

    def __init__(self, cells: Cells, workers: int = 1, own: int = 0) -> None:
        self._cells = cells
        self._workers = workers
        self._own = own

    def used(self, now: float) -> int:
        if self._workers == 1:
            return self._cells[0]
        return sum([self._cells[worker] for worker in range(self._workers)])

    def take(self, now: float, amount: int, limit: int) -> int:
        if self.used(now) + amount > limit:
            return -1
        self._cells[self._own] += amount
        return 0

    def settle(self, now: float, mark: int, reserved: int, real: int) -> None:
        self._cells[self._own] += real - reserved

    def wait(self, now: float, excess: int) -> float:
        return RUNNING_HINT

    def keep(self, now: float) -> float:
        return 0.0

    def period(self, now: float) -> int:
        return 0
