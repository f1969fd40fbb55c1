"""The rotating file: sizes, days, who may read it, and a disk that is full."""

import errno
import os
import stat
from pathlib import Path

import pytest

from lb.audit.sinks.files import RotatingFile

NOON = 1795262400.0
"""2026-11-21T12:00:00Z"""


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


def opened(
    path: Path, max_bytes: int = 100, count: int = 2, *, daily: bool = False, wall: Clock | None = None
) -> RotatingFile:
    return RotatingFile(str(path), max_bytes, count, daily=daily, wall=wall or Clock())


def contents(folder: Path) -> dict[str, bytes]:
    """The first byte of each file."""
    return {found.name: found.read_bytes()[:1] for found in folder.iterdir()}


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(found.stat().st_mode) for found in folder.iterdir()}


async def test_it_grows_to_its_size_and_then_a_new_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = opened(path)
    for number in range(5):
        await file.write([b"%d" % number * 59 + b"\n"])
    await file.close()
    assert contents(tmp_path) == {"audit.jsonl": b"4", "audit.jsonl.1": b"3", "audit.jsonl.2": b"2"}
    assert modes(tmp_path) == {0o600}


async def test_a_batch_larger_than_a_file_is_still_written_whole(tmp_path: Path) -> None:
    file = opened(tmp_path / "audit.jsonl")
    await file.write([b"x" * 500 + b"\n"])
    await file.write([b"y\n"])
    await file.close()
    assert (tmp_path / "audit.jsonl").read_bytes() == b"y\n"


async def test_it_goes_on_where_it_ended_and_takes_away_others_rights(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"old\n")
    path.chmod(0o644)
    file = opened(path)
    await file.write([b"new\n"])
    await file.close()
    assert path.read_bytes() == b"old\nnew\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_new_day_begins_a_new_file(tmp_path: Path) -> None:
    path, wall = tmp_path / "audit.jsonl", Clock()
    file = opened(path, 10_000, daily=True, wall=wall)
    await file.write([b"today\n"])
    await file.close()
    os.utime(path, (NOON, NOON))
    file = opened(path, 10_000, daily=True, wall=wall)
    await file.write([b"still today\n"])
    wall.now += 86_400
    await file.write([b"tomorrow\n"])
    await file.close()
    assert path.read_bytes() == b"tomorrow\n"
    assert (tmp_path / "audit.jsonl.1").read_bytes() == b"today\nstill today\n"


async def test_a_file_that_was_taken_away_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = opened(path)
    await file.write([b"one\n"])
    path.rename(tmp_path / "taken")
    await file.write([b"two\n"])
    await file.close()
    assert (path.read_bytes(), (tmp_path / "taken").read_bytes()) == (b"two\n", b"one\n")


async def test_no_second_process_writes_to_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    first, second = opened(path), opened(path)
    await first.write([b"one\n"])
    with pytest.raises(OSError, match="another process writes to it"):
        await second.write([b"two\n"])
    await first.close()
    await second.write([b"two\n"])
    await second.close()
    assert path.read_bytes() == b"one\ntwo\n"


async def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "audit.jsonl"
    target.write_bytes(b"")
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        await opened(path).write([b"x\n"])
    assert target.read_bytes() == b""


async def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    file = opened(path)
    await file.write([b"one\n"])
    write, full = os.write, True

    def takes_three_bytes(fd: int, piece: bytes) -> int:
        if full and len(piece) > 3:
            return write(fd, piece[:3])
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, piece)

    monkeypatch.setattr(os, "write", takes_three_bytes)
    with pytest.raises(OSError, match="No space left"):
        await file.write([b"two\n"])
    assert path.read_bytes() == b"one\n"
    full = False
    await file.write([b"two\n"])
    await file.close()
    assert path.read_bytes() == b"one\ntwo\n"
