"""What a process has to show, as bytes in shared memory: one page for each, written by its owner alone.

A page has two sides. The owner writes the one that is not shown and then turns it, so there is always one to read.
"""

import mmap
import struct
from typing import NamedTuple
from zlib import crc32

CAPACITY = 2 * 1024 * 1024
"""Bytes of one side. Memory is taken only for what is written."""
_HEAD = struct.Struct("<QQIIQ")
_SUM = struct.Struct("<I")
_HEAD_SIZE = 64
_TRIES = 100


class Page(NamedTuple):
    """`pid` wrote `content`; `answers` is the latest question that it knew of."""

    pid: int
    answers: int
    content: bytes


class Pages:
    """Make them before the fork."""

    def __init__(self, count: int, capacity: int = CAPACITY) -> None:
        self.count = count
        self._capacity = capacity
        self._size = _HEAD_SIZE + 2 * capacity
        self._memory = mmap.mmap(-1, 8 + count * self._size)
        self._question = memoryview(self._memory)[:8].cast("Q")

    @property
    def question(self) -> int:
        """The number of the latest question."""
        return self._question[0]

    def ask(self) -> int:
        """Ask for fresh pages; one process asks. Returns the question's number."""
        self._question[0] += 1
        return self._question[0]

    def write(self, number: int, pid: int, content: bytes) -> bool:
        """Show this from now on; False when it is too large."""
        if len(content) > self._capacity:
            return False
        start = number * self._size + 8
        head = self._head(start)
        turn = head[0] + 1 if head else 2
        side = start + _HEAD_SIZE + turn % 2 * self._capacity
        answers = self.question
        self._memory[side : side + len(content)] = content
        raw = _HEAD.pack(turn, pid, len(content), crc32(content), answers)
        self._memory[start : start + _HEAD_SIZE] = (raw + _SUM.pack(crc32(raw))).ljust(_HEAD_SIZE, b"\0")
        return True

    def read(self, number: int) -> Page | None:
        """What is shown; None when nothing was ever, or its writer died at the very moment of turning the page."""
        start = number * self._size + 8
        for _ in range(_TRIES):
            head = self._head(start)
            if head is None:
                continue
            turn, pid, length, checksum, answers = head
            side = start + _HEAD_SIZE + turn % 2 * self._capacity
            content = self._memory[side : side + length]
            if crc32(content) == checksum:
                return Page(pid, answers, content) if turn else None
        return None

    def _head(self, start: int) -> tuple[int, int, int, int, int] | None:
        raw = self._memory[start : start + _HEAD.size + _SUM.size]
        if raw == bytes(len(raw)):
            return 0, 0, 0, 0, 0
        if crc32(raw[: _HEAD.size]) != _SUM.unpack_from(raw, _HEAD.size)[0]:
            return None
        turn, pid, length, checksum, answers = _HEAD.unpack_from(raw)
        return turn, pid, length, checksum, answers
