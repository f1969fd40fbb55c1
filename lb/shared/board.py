"""What every worker says of the backends, in memory that all of them see: one column per worker, written by it alone.

A column holds one slot for each key that its worker ever spoke of, a journal of the slots that it wrote last, and a
version: the number of its statements. The versions of all columns lie side by side, so that a reader which is up to
date finds that out by one comparison. There are no locks, nobody waits, and a reader however slow misses nothing: what
it finds is the latest statement about every key. What a dead worker said stays, and its successor goes on in its
column.
"""

import mmap
from collections import OrderedDict
from collections.abc import Iterator

from lb.balancing.peers import NOTHING, Belief
from lb.shared.slot import SIZE, Statement, number_of, pack, unpack

SLOTS = 4096
"""Keys of one column; the one spoken of longest ago makes room."""
JOURNAL = 256
_INDEX_BITS = 16
_NOBODY = bytes(16)
_PATIENCE = 1000
"""Looks at a slot that does not become whole, before it is taken for torn by the death of its writer."""


class Board:
    """The memory. Make it before the fork."""

    def __init__(self, columns: int, slots: int = SLOTS) -> None:
        self.columns = columns
        self.slots = slots
        self._journals = 8 * columns
        self._used = self._journals + 8 * JOURNAL * columns
        self._slots = self._used + 8 * columns
        self.memory = mmap.mmap(-1, self._slots + columns * slots * SIZE)
        self.words = memoryview(self.memory).cast("B")[: self._slots].cast("Q")
        """Versions, journals and the numbers of used slots, each word written and read in one piece."""

    def versions(self) -> bytes:
        """Of all columns."""
        return self.memory[: 8 * self.columns]

    def journal(self, column: int, version: int) -> int:
        """Where in `words` the journal's entry for this version is."""
        return self.columns + column * JOURNAL + version % JOURNAL

    def used(self, column: int) -> int:
        """Where in `words` the number of the column's used slots is."""
        return self._used // 8 + column

    def read(self, column: int, index: int) -> bytes:
        """A copy of a slot, whole or not."""
        start = self._slots + (column * self.slots + index) * SIZE
        return self.memory[start : start + SIZE]

    def write(self, column: int, index: int, slot: bytes) -> None:
        """Only the column's own worker may."""
        start = self._slots + (column * self.slots + index) * SIZE
        self.memory[start : start + SIZE] = slot


class Writer:
    """Writes one column; a successor goes on where its predecessor ended."""

    def __init__(self, board: Board, column: int) -> None:
        self._board = board
        self._column = column
        self._index: OrderedDict[bytes, int] = OrderedDict()
        self._version = board.words[column]
        self._used = board.words[board.used(column)]
        self._free: list[int] = []
        self._take_over()

    def _take_over(self) -> None:
        """What the predecessor said goes on; where its death tore a slot, readers need not wait for it."""
        board, column = self._board, self._column
        for index in sorted(range(self._used), key=lambda index: number_of(board.read(column, index))):
            found = unpack(board.read(column, index), 1)
            if found is None or found[0] == _NOBODY:
                self._free.append(index)
                board.write(column, index, pack(1, _NOBODY, NOTHING))
            else:
                self._index[found[0]] = index

    def say(self, key: bytes, belief: Belief) -> None:
        """Write the statement, then where it is, then that it is there."""
        board, column = self._board, self._column
        index = self._place(key)
        self._version = version = self._version + 1
        board.write(column, index, pack(version, key, belief))
        board.words[board.journal(column, version)] = version << _INDEX_BITS | index
        board.words[column] = version

    def _place(self, key: bytes) -> int:
        index = self._index.get(key)
        if index is not None:
            self._index.move_to_end(key)
            return index
        if self._free:
            index = self._free.pop()
        elif self._used < self._board.slots:
            index = self._used
            self._used += 1
            self._board.words[self._board.used(self._column)] = self._used
        else:
            index = self._index.popitem(last=False)[1]
        self._index[key] = index
        return index


class Reader:
    """Reads every column, one's own as well: a successor has to know what its predecessor said."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._memory = board.memory
        self._width = 8 * board.columns
        self._known = b""
        self._seen = [0] * board.columns
        self._patience = _PATIENCE

    def news(self) -> list[Statement]:
        """What was said since the last call; in the first call everything that still stands."""
        if self._memory[: self._width] == self._known:
            return []
        return self._read()

    def _read(self) -> list[Statement]:
        found: list[Statement] = []
        versions = self._board.versions()
        whole = True
        for column, version in enumerate(memoryview(versions).cast("Q")):
            if version != self._seen[column]:
                whole &= self._catch_up(column, version, found)
        if whole:
            self._known, self._patience = versions, _PATIENCE
        return found

    def _catch_up(self, column: int, version: int, found: list[Statement]) -> bool:
        """Read what is new in a column; False when some of it cannot be seen yet."""
        board, seen = self._board, self._seen[column]
        if version - seen < JOURNAL:
            fresh: list[Statement] = []
            for number in range(seen + 1, version + 1):
                entry = board.words[board.journal(column, number)]
                statement = unpack(board.read(column, entry & 0xFFFF), number)
                if entry >> _INDEX_BITS != number or statement is None:
                    break
                fresh.append(statement)
                self._seen[column] = number
            found.extend(fresh)
            if self._seen[column] == version:
                return True
            if board.words[column] - seen < JOURNAL and self._patient():
                return False
        return self._scan(column, version, found)

    def _scan(self, column: int, version: int, found: list[Statement]) -> bool:
        statements = list(self._slots(column))
        found.extend([statement for statement in statements if statement is not None])
        if None in statements and self._patient():
            return False
        self._seen[column] = version
        return True

    def _slots(self, column: int) -> Iterator[Statement | None]:
        board = self._board
        for index in range(board.words[board.used(column)]):
            yield unpack(board.read(column, index), 1)

    def _patient(self) -> bool:
        self._patience -= 1
        return self._patience > 0
