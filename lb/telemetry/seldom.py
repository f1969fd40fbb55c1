"""What is costly to look at is looked at seldom."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

PART = 50
"""Of all time, looking takes at most one part in so many."""


class Seldom(Generic[T]):
    """Makes a value anew when it is asked for, unless that took long a short while ago: then the one of then must do.

    What takes 0.1 ms is at most 5 ms old, what takes 40 ms at most 2 s.
    """

    def __init__(self, make: Callable[[], T], clock: Callable[[], float]) -> None:
        self._make = make
        self._clock = clock
        self._made: T | None = None
        self._until = 0.0

    def __call__(self) -> T:
        began = self._clock()
        if self._made is None or began >= self._until:
            self._made = self._make()
            ended = self._clock()
            self._until = ended + PART * (ended - began)
        return self._made
