"""What replicas tell each other of objects: who holds what, and whose it is, as digests."""

from collections import deque
from collections.abc import Callable

from lb.balancing.pins import NEWS_SIZE, Pins

WAITING = 10_000
"""Pins that wait to be told; older ones are dropped, since a miss heals."""
AT_ONCE = 2000
"""Pins of one message: 64 KB."""


class PinNews:
    """Gathers what this replica learns, and takes in what others did. `name` has the same length for all of them."""

    def __init__(self, pins: Pins, name: bytes, news: Callable[[], None]) -> None:
        self._pins = pins
        self._name = name
        self._news = news
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        pins.tell = self._learned

    def _learned(self, news: bytes) -> None:
        self._waiting.append(news)
        self._news()

    def next(self) -> tuple[bytes, int]:
        """The message that is due and how many pins it has; nothing where there are none."""
        count = min(len(self._waiting), AT_ONCE)
        return self._name + b"".join([self._waiting[place] for place in range(count)]) if count else b"", count

    def told(self, count: int) -> None:
        """That message has gone out."""
        for _ in range(min(count, len(self._waiting))):
            self._waiting.popleft()
        if self._waiting:
            self._news()

    def hear(self, message: bytes) -> None:
        """What another replica told; what is one's own is known."""
        if message.startswith(self._name):
            return
        start = len(self._name)
        for at in range(start, len(message) - NEWS_SIZE + 1, NEWS_SIZE):
            self._pins.adopt(message[at : at + NEWS_SIZE])
