"""What operators say at the office, written where every worker reads it.

It stands in the office's own column of the board, so that it outlives the office and reaches workers that are not yet
there.
"""

from lb.balancing.backend import Backend
from lb.balancing.peers import NOTHING, Belief, key_of
from lb.shared.board import Reader, Writer
from lb.shared.room import Room


class Orders:
    """One for the office. `now` is of the clock that the workers share."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._writer = Writer(room.board, room.office)
        self._news = Reader(room.board).news
        self._known: dict[bytes, Belief] = {}

    def switch(self, now: float, backend: Backend, *, out: bool) -> None:
        """Take a backend out, or put it back."""
        self._say(key_of(backend, None, whole=True), Belief(switched=now, out=out))
        self._room.ring_workers()

    def recall(self, now: float, backend: Backend, deployment: str | None) -> None:
        """End what keeps a backend away from a deployment, as it calls it."""
        self._say(key_of(backend, deployment), Belief(cooling_until=now, recalled=now))
        self._say(key_of(backend, None, whole=True), Belief(recalled=now))
        self._room.ring_workers()

    def _say(self, key: bytes, belief: Belief) -> None:
        """Beside what else is known, since of a column only the latest statement about a key stands."""
        for heard, told in self._news():
            self._known[heard] = self._known.get(heard, NOTHING).join(told)
        self._known[key] = self._known.get(key, NOTHING).join(belief)
        self._writer.say(key, self._known[key])
