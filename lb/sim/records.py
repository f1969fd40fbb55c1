"""What the endpoint remembers of its requests: a bounded list to look at, and counts that are never cut short."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

RawHeaders = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class Received:
    """One request as it arrived, byte for byte."""

    method: str
    target: str
    """Path and query, raw."""
    headers: RawHeaders
    body: bytes
    at: float
    """When, in seconds of the simulator's clock."""
    connection: int = 0
    """The client's port: requests with the same one came over the same connection."""
    status: int | None = None
    """What was answered; None while there is no answer, or none that has a status."""
    faults: tuple[str, ...] = ()
    """The faults and oddities that struck it."""
    deployment: str = ""
    operation: str = ""

    def get(self, name: bytes) -> bytes | None:
        """First value of a field by its lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Book(Sequence[Received]):
    """The latest requests, bounded in number and in bytes of body."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: deque[Received] = deque()
        self._bytes = 0

    def add(self, received: Received) -> None:
        """Keep one more and forget the oldest that no longer fit."""
        self._kept.append(received)
        self._bytes += len(received.body)
        while self._kept and (len(self._kept) > self._most or self._bytes > self._most_bytes):
            self._bytes -= len(self._kept.popleft().body)

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: Any) -> Any:
        return list(self._kept)[index] if isinstance(index, slice) else self._kept[index]

    def __iter__(self) -> Iterator[Received]:
        return iter(self._kept)


@dataclass(slots=True)
class Counts:
    """How many of what, since the start or the last reset."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    throttled: int = 0
    """Refused by a limit, in the head or in a stream."""
    abandoned: int = 0
    """The client left before it had everything."""
    in_flight: int = 0
    most_in_flight: int = 0

    def begin(self) -> None:
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        self.in_flight -= 1

    def clear(self) -> None:
        """Start again; what is in flight stays in flight."""
        self.requests = self.throttled = self.abandoned = 0
        self.most_in_flight = self.in_flight
        self.statuses.clear()
        self.operations.clear()

    def seen(self) -> dict[str, Any]:
        """As `GET /_sim/counts` shows it."""
        return {
            "requests": self.requests,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "operations": dict(self.operations),
            "throttled": self.throttled,
            "abandoned": self.abandoned,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
        }
