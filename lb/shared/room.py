"""Everything that the processes of one balancer have in common. Made before the first fork."""

import os
from mmap import mmap

from lb.balancing.peers import Belief, Right
from lb.shared.bells import Bells
from lb.shared.board import Board, Reader, Writer
from lb.shared.claims import Claims
from lb.shared.ledger import Ledger
from lb.shared.pages import Pages
from lb.shared.shares import Shares


class Room:
    """Workers are numbered from 0; the office and the supervisor come after them."""

    def __init__(self, workers: int, pins: int) -> None:
        """`pins` is the memory, in bytes, for which backend holds what."""
        self.workers = workers
        self.office = workers
        self.supervisor = workers + 1
        self.board = Board(workers + 1)
        """A column for each worker, and one for what operators say at the office."""
        self.claims = Claims()
        self.ledger = Ledger(workers)
        self.shares = Shares(workers)
        self.bells = Bells(workers + 2)
        self.pins = mmap(-1, pins)
        self.pages = Pages(workers + 1)
        """One for each worker, and one for what those that died had counted."""
        self.lifeline, self._supervisors_end = os.pipe()

    def leave_lifeline(self) -> None:
        """In a child: only the supervisor holds the writing end, so that its death ends the pipe."""
        os.close(self._supervisors_end)

    def ring_workers(self, but: int = -1) -> None:
        """Wake all workers."""
        for number in range(self.workers):
            if number != but:
                self.bells.ring(number)


class WorkerPeers:
    """`balancing.peers.Peers` for one worker."""

    def __init__(self, room: Room, number: int) -> None:
        self._room = room
        self._number = number
        self._writer = Writer(room.board, number)
        self.news = Reader(room.board).news

    def say(self, key: bytes, belief: Belief) -> None:
        self._writer.say(key, belief)
        self._room.ring_workers(but=self._number)

    def claim(self, key: bytes, right: Right) -> bool:
        return self._room.claims.claim(key, right)

    def release(self, key: bytes, right: Right) -> None:
        self._room.claims.release(key, right)
        self._room.ring_workers(but=self._number)
