"""A file that is rotated by size, and by day if wanted.

The standard library's `RotatingFileHandler` does that for log records. Here a batch that the disk took only in part is
taken back, so that no half line stays; the file is its owner's alone; and no second process writes to it.
"""

import fcntl
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path


class RotatingFile:
    """`path`, and `path.1` to `path.<count>`, the newest first. `wall` is seconds since the epoch."""

    def __init__(self, path: str, max_bytes: int, count: int, *, daily: bool, wall: Callable[[], float]) -> None:
        self._path = Path(path)
        self._max = max_bytes
        self._count = count
        self._daily = daily
        self._wall = wall
        self._fd = -1
        self._size = 0
        self._day = date.min

    async def write(self, lines: list[bytes]) -> int:
        """Append them. Raises OSError."""
        batch = b"".join(lines)
        if self._fd < 0 or self._moved():
            self._open()
        if self._size and (self._size + len(batch) > self._max or (self._daily and self._today() != self._day)):
            self._rotate()
        self._append(batch)
        return 0

    async def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _append(self, batch: bytes) -> None:
        rest = memoryview(batch)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(batch)

    def _open(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(fd, 0o600)
            found = os.fstat(fd)
        except BlockingIOError:
            os.close(fd)
            raise OSError(f"{self._path}: another process writes to it") from None
        except OSError:
            os.close(fd)
            raise
        self._fd, self._size = fd, found.st_size
        self._day = datetime.fromtimestamp(found.st_mtime, UTC).date() if found.st_size else self._today()

    def _moved(self) -> bool:
        """Did somebody take the file away, as logrotate does?"""
        try:
            return os.stat(self._path).st_ino != os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return True

    def _rotate(self) -> None:
        for number in range(self._count, 0, -1):
            older = self._numbered(number)
            if older.exists():
                if number == self._count:
                    older.unlink()
                else:
                    older.rename(self._numbered(number + 1))
        self._path.rename(self._numbered(1))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _today(self) -> date:
        return datetime.fromtimestamp(self._wall(), UTC).date()
