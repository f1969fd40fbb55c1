"""Where bodies are kept that are too large for memory: in files that have no name and die with the process.

The disk is worked on by a few threads. A write goes to the page cache and takes microseconds, until the kernel has too
much that is not yet on the disk: then it makes whoever writes wait, for a tenth of a second and more.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lb.exchange import BackendFailed, Blame
from lb.wire.budget import Budget

THREADS: Final = 4
"""A disk serves few at once; what more threads would do is to wait for it, each with a piece of a body."""
_NO_NAMELESS_FILES: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


class Disk:
    """What all bodies of a listener may take of a directory."""

    def __init__(self, directory: str, limit: int, failed: Callable[[str], None]) -> None:
        """`limit` is in bytes; `failed` is told why a body could not be kept."""
        self.directory = directory
        self.budget = Budget(limit)
        self.failed = failed
        self._threads: ThreadPoolExecutor | None = None

    @property
    def threads(self) -> ThreadPoolExecutor:
        """Most listeners never need them."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "lb-disk")
        return self._threads

    def close(self) -> None:
        """Take no more work."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None


class Spool:
    """One body's file. It is opened by the first write. The lock is for the threads: a file is never closed under one
    that reads, since its number might be another body's by then."""

    __slots__ = ("_closed", "_disk", "_file", "_lock", "size")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._file = -1
        self._lock = threading.Lock()
        self._closed = False
        self.size = 0
        """Bytes that are there."""

    async def write(self, piece: bytes) -> None:
        """Add to its end. Raises `OSError` where the disk, or our share of it, is full; then nothing was added."""
        if not self._disk.budget.take(len(piece)):
            raise OSError(errno.EDQUOT, "LB_REPLAY_DISK_BYTES are used up")
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk.threads, self._append, piece)
        except BaseException:
            self._disk.budget.give(len(piece))
            raise
        self.size += len(piece)

    async def read(self, at: int, most: int) -> bytes:
        """What is there from `at` on. Raises `BackendFailed`: no backend is to blame."""
        try:
            piece = await asyncio.get_running_loop().run_in_executor(self._disk.threads, self._pread, at, most)
        except OSError as error:
            raise BackendFailed(Blame.OURS, f"what was kept of the body cannot be read: {error.strerror}") from error
        if not piece:
            raise BackendFailed(Blame.OURS, "what was kept of the body is no longer there")
        return piece

    def close(self) -> None:
        """Let the file go. Freeing megabytes takes milliseconds, so a thread does that, too."""
        closing = asyncio.get_running_loop().run_in_executor(self._disk.threads, self._close)
        size, self.size = self.size, 0
        closing.add_done_callback(lambda _: self._disk.budget.give(size))

    def _append(self, piece: bytes) -> None:
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "closed")
            if self._file < 0:
                self._file = nameless_file(self._disk.directory)
            at, left = self.size, memoryview(piece)
            while left:
                written = os.pwrite(self._file, left, at)
                at, left = at + written, left[written:]

    def _pread(self, at: int, most: int) -> bytes:
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "closed")
            return os.pread(self._file, most, at)

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            if self._file >= 0:
                os.close(self._file)
                self._file = -1


def nameless_file(directory: str) -> int:
    """A new file that only we can read and nobody can find. Raises `OSError`."""
    nameless = getattr(os, "O_TMPFILE", 0)  # not on every system, and there not on every file system
    if nameless:
        try:
            return os.open(directory, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC | nameless, 0o600)
        except OSError as error:
            if error.errno not in _NO_NAMELESS_FILES:
                raise
    file, name = tempfile.mkstemp(prefix="lb-", dir=directory)
    os.unlink(name)
    return file
