"""Programs under test and around it: started on their own cores, read through /proc, ended with all their children."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class CannotServe(Exception):
    """A proxy that did not start, or answers nothing."""


@dataclass(frozen=True)
class Cores:
    """Who runs where; empty sets leave it to the scheduler."""

    proxy: frozenset[int] = frozenset()
    rest: frozenset[int] = frozenset()

    @classmethod
    def split(cls) -> "Cores":
        """The first core for the proxy, the others for backend and load; nothing where that cannot be said."""
        if not hasattr(os, "sched_getaffinity"):
            return cls()
        allowed = sorted(os.sched_getaffinity(0))
        return cls(frozenset(allowed[:1]), frozenset(allowed[1:])) if len(allowed) > 1 else cls()


@contextlib.contextmanager
def _on(cores: frozenset[int]) -> Iterator[None]:
    """What is started in here inherits the cores."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Child:
    """One program with its children."""

    def __init__(
        self,
        command: Sequence[str],
        cores: frozenset[int],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        talks: bool = False,
    ) -> None:
        self.log = log
        with log.open("ab") as out, _on(cores):
            self._popen: subprocess.Popen[str] = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else out,
                stderr=out,
                env=None if environment is None else dict(environment),
                text=True,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def says(self) -> IO[str]:
        """Its standard output, when it talks to us."""
        assert self._popen.stdout is not None
        return self._popen.stdout

    def wait_port(self, port: int, seconds: float) -> None:
        """Return when it accepts connections. Raises CannotServe with the end of its log."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._popen.poll() is not None:
                raise CannotServe(f"ended at its start with code {self._popen.returncode}: {self._last_words()}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            time.sleep(0.05)
        raise CannotServe(f"did not listen within {seconds:g} s: {self._last_words()}")

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-600:].strip()

    def finish(self, seconds: float) -> str:
        """Wait for its end and return what it said. Raises RuntimeError when it failed."""
        try:
            said, _ = self._popen.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"did not end within {seconds:g} s") from None
        if self._popen.returncode:
            raise RuntimeError(f"ended with code {self._popen.returncode}: {self._last_words()}")
        return said

    def stop(self) -> None:
        """Kill it with its children: what it would still do at its end is of no interest."""
        if self._popen.poll() is None:
            for pid in self.family():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()

    def family(self) -> list[int]:
        """Its own process id and those of all its descendants."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Seconds that the scheduler has let it run, over all threads of the family."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def resident(self) -> int:
        """Bytes of memory in RAM, over the family; pages that it shares count for each."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return total * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """Open file descriptors, over the family."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                total += len(os.listdir(f"/proc/{pid}/fd"))
        return total


def leave_orderly() -> None:
    """SIGTERM ends us as Ctrl-C does: with everything that we started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def open_files() -> int:
    """How many files each child may open: as many as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, 100_000) if hard >= 0 else 100_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
