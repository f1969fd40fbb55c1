"""The last step of a log line: out of the process, without the event loop ever waiting for who reads it."""

import os
import select
import threading
from collections.abc import Callable, Iterator

KEEP_BYTES = 8 * 1024 * 1024
"""Lines that wait to be written may take this much; what comes on top is dropped and counted."""
BATCH_SECONDS = 0.03
"""After the first line of a batch the thread waits this long for more, so that a line is out within about 50 ms."""
PIECE_LINES = 1000
"""For one system call. Each costs the event loop a change of the interpreter's lock, so a few large ones are cheaper:
with 4096 bytes a saturated worker spent 4 us of CPU more per request."""
ATOMIC_BYTES = 4096
"""PIPE_BUF of Linux: a pipe takes so much in one piece (pipe(7)), so that lines of several workers are not mixed."""


class Writer:
    """Takes finished lines from any thread and writes them to `fd` from a thread of its own.

    A pipe that nobody reads blocks that thread only. A closed one loses the lines. Either way memory is bounded, and
    `lost(count)` is rendered into the stream as soon as it takes lines again. The thread starts with the first line, so
    a `Writer` that is made before a fork costs nothing; after one, call `after_fork` in the child.
    """

    def __init__(self, fd: int, lost: Callable[[int], bytes], keep: int = KEEP_BYTES) -> None:
        self._fd = fd
        self._lost = lost
        self._keep = keep
        self.after_fork()
        self._shared = False

    def after_fork(self) -> None:
        """The child has neither the thread nor a claim to the lines: the parent writes those. A closed writer is open
        again in the child."""
        self._shared = True  # from now on the stream has several writers
        self._closing = threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self.lost = 0
        """Lines that were dropped since the start."""
        self._puller: threading.Thread | None = None
        self._some = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def write(self, line: bytes) -> bool:
        """Take one line, its newline included; False where it is dropped. Never blocks, never raises."""
        with self._lock:
            size = self._size + len(line)
            if size > self._keep:
                self._dropped += 1
                self.lost += 1
                return False
            self._size = size
            lines = self._lines
            lines.append(line)
            if len(lines) > 1 and not self._closed:
                return True
        self._wake()
        return True

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait (seconds) until all is written; False when it is not. Blocks: for tests and before a fork."""
        return self._idle.wait(timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Write what is left, waiting no longer than `timeout` seconds for whoever reads. Idempotent.

        Then there is no thread any more, so the process may fork; later lines are written by whoever brings them, as
        long as the other side takes them at once.
        """
        self._closed = True
        self._closing.set()
        self._some.set()
        thread = self._puller
        if thread is not None:
            thread.join(timeout)
        if thread is None or not thread.is_alive():
            self._write_late()

    def _wake(self) -> None:
        self._idle.clear()
        if self._closing.is_set():
            self._write_late()
        elif self._puller is None:
            self._start()
        self._some.set()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had: the interpreter is ending, or the system's limit is reached
            self._write_late()
        else:
            self._puller = thread

    def _run(self) -> None:
        while not self._closing.is_set():
            self._some.wait()
            self._closing.wait(BATCH_SECONDS)
            self._some.clear()
            self._drain()
        self._drain()

    def _write_late(self) -> None:
        """At the very end there is no thread: write only what the other side takes, so that the exit never hangs."""
        if _writable(self._fd, 0):
            self._drain()

    def _drain(self) -> None:
        while True:
            with self._lock:
                lines, self._lines = self._lines, []
                if not lines and not self._dropped:
                    self._idle.set()
                    return
            for piece, count in _atomic(lines) if self._shared else _large(lines):
                self._put(piece, count)
            if self._dropped and not self._tell_lost():
                self._idle.set()
                return

    def _put(self, piece: bytes, count: int) -> None:
        written = self._write_all(piece)
        with self._lock:
            self._size -= len(piece)
            if not written:
                self._dropped += count
                self.lost += count

    def _tell_lost(self) -> bool:
        with self._lock:
            count, self._dropped = self._dropped, 0
        if self._write_all(self._lost(count)):
            return True
        with self._lock:
            self._dropped += count
        return False

    def _write_all(self, piece: bytes) -> bool:
        """Write to the end; False when the other side is gone or the disk is full: the next batch tries again."""
        rest = memoryview(piece)
        while rest:
            try:
                written = os.write(self._fd, rest)
                rest = rest[written:]
            except BlockingIOError:  # somebody who shares this terminal or pipe made it non-blocking
                _writable(self._fd, None)
            except OSError:
                return False
        return True


def _writable(fd: int, milliseconds: int | None) -> bool:
    """Wait until the other side takes something, or is gone. (`select` knows descriptors below 1024 only.)"""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(milliseconds))


def _large(lines: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Join whole lines, many at once; yields the bytes and the number of lines in them."""
    for start in range(0, len(lines), PIECE_LINES):
        group = lines[start : start + PIECE_LINES]
        yield b"".join(group), len(group)


def _atomic(lines: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """The same in what a pipe takes in one piece."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > ATOMIC_BYTES:
            yield b"".join(group), len(group)
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield b"".join(group), len(group)
