"""Rights that only so many requests may have at once, over all workers: each place is a byte that can be locked.

The kernel keeps the locks (fcntl(2), POSIX record locks) and gives them back when a process ends, however it ends. The
file stays empty: a lock needs no byte to be there.
"""

import fcntl
import os
import tempfile

from lb.balancing.peers import Right

_PLACES = 4
"""Bytes for each key: one for a probe, two for trials, one spare."""
_FIRST = {Right.PROBE: 0, Right.TRIAL: 1}


class Claims:
    """Make it before the fork: the file is inherited, the locks are each process's own."""

    def __init__(self) -> None:
        self._fd = unnamed_file("lb-claims")
        self._held: set[int] = set()

    def claim(self, key: bytes, right: Right) -> bool:
        """Take a place; False when all are taken. To the kernel a process does not stand in its own way, to us it does.

        Raises OSError when the system is out of locks.
        """
        first = _offset(key, right)
        for place in range(first, first + right):
            if place not in self._held and self._lock(place):
                self._held.add(place)
                return True
        return False

    def release(self, key: bytes, right: Right) -> None:
        """Give a place back; where several are held it does not matter which."""
        first = _offset(key, right)
        for place in range(first, first + right):
            if place in self._held:
                self._held.discard(place)
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, place)
                return

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
            return False
        return True


def _offset(key: bytes, right: Right) -> int:
    """Where a right's first byte is: 60 bits of the key, so that two keys do not meet."""
    return (int.from_bytes(key[:8], "little") >> 4) * _PLACES + _FIRST[right]


def unnamed_file(name: str) -> int:
    """A descriptor of a file that is in no directory; `name` is for who looks at /proc."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)  # Linux: needs no place to write to
    fd, path = tempfile.mkstemp()
    os.unlink(path)
    return fd
