"""Who goes next, of those that wait for the same? Classes strictly, askers of a class by weight, each in its own order.

Start-time fair queueing: every asker has a clock that each of its turns moves on by 1/weight, and whose clock is
furthest behind is next. Who has not waited begins at the present and is owed nothing for the time before.
(Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996, with every request of length one.)
"""

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from lb.balancing.asker import Asker


class Guest(Protocol):
    """One that waits."""

    @property
    def asker(self) -> Asker: ...


G = TypeVar("G", bound=Guest)


class _Party(Generic[G]):
    """All that wait for one asker."""

    __slots__ = ("asker", "due", "guests")

    def __init__(self, asker: Asker, due: float) -> None:
        self.asker = asker
        self.due = due
        self.guests: OrderedDict[G, None] = OrderedDict()

    @property
    def rank(self) -> tuple[int, float]:
        return self.asker.priority, self.due

    def burden(self, more: int = 0) -> tuple[int, float]:
        """How little it would be missed: low classes first, then who has most waiting for its weight."""
        return self.asker.priority, (len(self.guests) + more) / self.asker.weight


class Waiting(Generic[G]):
    """A queue for each asker, and whose turn it is."""

    def __init__(self) -> None:
        self._parties: dict[str, _Party[G]] = {}
        self._owed: dict[str, tuple[int, float]] = {}
        """Class and clock of those that were served and wait for nothing now, while that is ahead of the present."""
        self._present: dict[int, float] = {}
        """By class: the clock of who was served last."""

    def __len__(self) -> int:
        return sum([len(party.guests) for party in self._parties.values()])

    def counts(self) -> dict[str, int]:
        """How many wait for each asker."""
        return {name: len(party.guests) for name, party in self._parties.items()}

    def join(self, guest: G, *, back: bool = False) -> None:
        """Wait behind those of the same asker. Who comes `back`, its turn having been worth nothing, goes before them,
        and gets the turn back."""
        asker = guest.asker
        party = self._parties.get(asker.name)
        if party is None:
            _, owed = self._owed.pop(asker.name, (0, 0.0))
            due = max(owed, self._present.get(asker.priority, 0.0))
            party = self._parties[asker.name] = _Party(asker, due)
        party.guests[guest] = None
        if back:
            party.guests.move_to_end(guest, last=False)
            party.due = max(party.due - 1 / asker.weight, self._present.get(asker.priority, 0.0))

    def leave(self, guest: G) -> None:
        """Wait no longer. A second time does nothing."""
        party = self._parties.get(guest.asker.name)
        if party is None or guest not in party.guests:
            return
        del party.guests[guest]
        if not party.guests:
            del self._parties[guest.asker.name]
            if party.due > self._present.get(party.asker.priority, 0.0):
                self._owed[guest.asker.name] = party.asker.priority, party.due

    def serve(self, guest: G) -> None:
        """It is this one's turn."""
        party = self._parties[guest.asker.name]
        self._present[party.asker.priority] = party.due
        party.due += 1 / party.asker.weight
        ahead = self._present.get
        self._owed = {name: clock for name, clock in self._owed.items() if clock[1] > ahead(clock[0], 0.0)}
        self.leave(guest)

    def heads(self) -> list[G]:
        """The first of every asker, in the order in which it is their turn."""
        return [next(iter(party.guests)) for party in sorted(self._parties.values(), key=lambda party: party.rank)]

    def makes_room(self, newcomer: Asker) -> G | None:
        """Who has to go when there is no room for all: the last of a lower class, or of who has most waiting for its
        weight. None: it is the newcomer."""
        worst = max(self._parties.values(), key=lambda party: party.burden(), default=None)
        own = self._parties.get(newcomer.name) or _Party[G](newcomer, 0.0)
        if worst is None or worst.burden() <= own.burden(1):
            return None
        return next(reversed(worst.guests))
