import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.telemetry.writer import ATOMIC_BYTES, Writer, _atomic


def lost(count: int) -> bytes:
    return b"lost %d\n" % count


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            assert end == ends[0], "only the reading end is ever closed by a test"


def read_until(fd: int, last: bytes) -> bytes:
    got = b""
    while not got.endswith(last):
        piece = os.read(fd, 1 << 16)
        assert piece, f"the stream ended without {last!r}"
        got += piece
    return got


def test_lines_arrive_in_their_order_and_whole(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1], lost)
    lines = [b"line %d %s\n" % (n, b"x" * (n % 300)) for n in range(5000)]
    for line in lines:
        writer.write(line)
    assert read_until(pipe[0], lines[-1]) == b"".join(lines)
    writer.close()


def test_a_pipe_that_nobody_reads_costs_lines_and_never_time(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1], lost, keep=100_000)
    line = b"x" * 999 + b"\n"
    for _ in range(1000):
        writer.write(line)  # were it to wait, then for ever: nobody reads
    assert not writer.flush(0.05)
    writer.write(b"the last one that fits not\n" + b"x" * 100_000)
    text = b""
    while b"lost " not in text:
        text += os.read(pipe[0], 1 << 16)
    whole = text.count(line)
    assert int(text.split(b"lost ")[1].split(b"\n")[0]) == 1001 - whole
    writer.write(b"and on it goes\n")
    assert read_until(pipe[0], b"and on it goes\n")
    writer.close()


def test_a_stuck_pipe_does_not_hold_up_the_exit(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1], lost)
    for _ in range(200):
        writer.write(b"x" * 1000 + b"\n")
    began = time.perf_counter()
    writer.close(timeout=0.1)
    writer.write(b"too late, and without harm\n")
    assert time.perf_counter() - began < 10, "nobody reads: it would wait for ever"
    while not writer.flush(0.01):  # lets the thread end before its pipe is closed
        os.read(pipe[0], 1 << 16)


def test_a_closed_pipe_neither_raises_nor_spins(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1], lost)
    os.close(pipe[0])
    began = time.process_time()
    for _ in range(3):
        writer.write(b"into the void\n")
        assert writer.flush()
    writer.close()
    assert time.process_time() - began < 0.5


def test_a_line_for_which_there_is_no_room_is_told_to_who_brought_it(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1], lost, keep=100)
    assert writer.write(b"x" * 99 + b"\n")
    assert writer.flush()
    assert not writer.write(b"x" * 100 + b"\n")
    assert writer.lost == 1
    writer.close()


def test_what_was_lost_is_told_once_somebody_reads_again(tmp_path: Path) -> None:
    read_end, fd = os.pipe()
    writer = Writer(fd, lost)
    os.close(read_end)
    writer.write(b"gone\n")
    writer.write(b"gone, too\n")
    assert writer.flush()
    with (tmp_path / "log").open("w+b") as file:
        os.dup2(file.fileno(), fd)
        writer.write(b"here\n")
        assert writer.flush()
        assert (tmp_path / "log").read_bytes() == b"here\nlost 2\n"
    writer.close()
    os.close(fd)


def test_a_terminal_or_pipe_made_non_blocking_by_others_is_waited_for(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = Writer(pipe[1], lost)
    lines = [b"%06d %s\n" % (n, b"y" * 500) for n in range(1000)]
    for line in lines:
        writer.write(line)
    assert read_until(pipe[0], lines[-1]) == b"".join(lines)
    writer.close()


def test_pieces_hold_whole_lines_and_fit_what_a_pipe_takes_at_once() -> None:
    lines = [b"z" * (n % 700) + b"\n" for n in range(500)] + [b"z" * 10_000 + b"\n", b"end\n"]
    pieces = list(_atomic(lines))
    assert b"".join(piece for piece, _ in pieces) == b"".join(lines)
    assert sum(count for _, count in pieces) == len(lines)
    assert all(len(piece) <= ATOMIC_BYTES or count == 1 for piece, count in pieces)


START = """
import os, sys, time
from lb.telemetry.log import Logs
logs = Logs.open(time.time, form="json")
logs.say("info", "first")
"""


def run(body: str) -> tuple[int, list[str], str]:
    done = subprocess.run([sys.executable, "-c", START + body], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_everything_is_written_at_a_normal_exit() -> None:
    code, lines, errors = run("for n in range(3000): logs.say('info', f'line {n}')")
    assert (code, len(lines), errors) == (0, 3001, "")
    assert '"line 2999"' in lines[-1]


def test_everything_is_written_on_a_crash_and_the_traceback_is_one_line() -> None:
    code, lines, errors = run("raise ValueError('first\\nsecond')")
    assert (code, len(lines), errors) == (1, 2, "")
    assert "Stopped by an error that nobody caught" in lines[1]
    assert "ValueError: first\\nsecond" in lines[1]


def test_a_forked_child_writes_its_own_lines_and_not_its_parents() -> None:
    code, lines, errors = run(
        "pid = os.fork()\n"
        "logs.say('info', 'parent' if pid else 'child')\n"
        "if pid: os.waitpid(pid, 0)\n"
        "else: logs.close(); os._exit(0)\n"
    )
    assert (code, errors) == (0, "")
    assert sorted(line.split('"event":"')[1].split('"')[0] for line in lines) == ["child", "first", "parent"]


def test_a_line_that_comes_after_the_end_is_still_written() -> None:
    _, lines, _ = run("logs.close(); logs.say('info', 'late')")
    assert len(lines) == 2


def test_a_stream_with_a_high_number_is_waited_for_as_well(pipe: tuple[int, int]) -> None:
    high = fcntl.fcntl(pipe[1], fcntl.F_DUPFD, 1500)
    os.set_blocking(high, False)
    writer = Writer(high, lost)
    lines = [b"%06d %s\n" % (n, b"y" * 500) for n in range(1000)]
    for line in lines:
        writer.write(line)
    assert read_until(pipe[0], lines[-1]) == b"".join(lines)
    writer.close()
    os.close(high)
