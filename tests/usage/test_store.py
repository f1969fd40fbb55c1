"""The file with what was used: exact sums, several writers, and every way in which it cannot be written."""

import multiprocessing
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.usage.store import Store, Unusable, read
from lb.usage.sums import COUNTS, Key, Sums

KEY = Key("2026-11-21", "ada", "chat", "BACKEND_1", "chat", "reported")
ALWAYS = ("0000", "9999")

names = st.sampled_from(["ada", "bob", "Zoë", "a'; DROP TABLE usage; --"])
keys = st.builds(Key, st.sampled_from(["2026-11-20", "2026-11-21"]), names, names, names, names, names)
counts = st.integers(0, 2**40)
sums = st.builds(Sums, *[counts] * 8)


def added(path: Path, *batches: dict[Key, Sums]) -> dict[Key, Sums]:
    store = Store(str(path))
    for batch in batches:
        store.add(batch)
    store.close()
    return dict(read(str(path), *ALWAYS))


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(st.dictionaries(keys, sums, max_size=5), max_size=5))
def test_what_is_read_is_the_sum_of_what_was_added(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[Key, Sums]]
) -> None:
    expected: dict[Key, Sums] = {}
    for batch in batches:
        for key, one in batch.items():
            expected.setdefault(key, Sums()).merge(one)
    assert added(tmp_path_factory.mktemp("usage") / "usage.db", {}, *batches) == expected


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    store = Store(str(path))
    store.add({KEY: Sums(1, 2, 3, 5)})
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 3  # with its log and its index, while it is open
    store.close()


def test_days_before_the_oldest_are_forgotten(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "usage.db"))
    store.add({KEY: Sums(1), KEY._replace(day="2026-11-19"): Sums(1), KEY._replace(day="2026-11-20"): Sums(1)})
    store.add({}, oldest="2026-11-20")
    store.close()
    assert [key.day for key, _ in read(store.path, *ALWAYS)] == ["2026-11-20", "2026-11-21"]
    assert [key.day for key, _ in read(store.path, "2026-11-21", "2026-11-21")] == ["2026-11-21"]


def _write(path: str, times: int) -> None:
    store = Store(path)
    for _ in range(times):
        store.add({KEY: Sums(1, 10, 20, 30)})
    store.close()


def test_several_processes_write_to_it_and_no_count_is_lost(tmp_path: Path) -> None:
    path, spawn = str(tmp_path / "usage.db"), multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write, args=(path, 50)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert dict(read(path, *ALWAYS)) == {KEY: Sums(200, 2000, 4000, 6000)}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lb.usage.store.BUSY_SECONDS", 0.05)


@pytest.mark.usefixtures("hasty")
def test_one_that_another_program_locks_is_told_and_works_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    _write(str(path), 1)
    locking = sqlite3.connect(path, isolation_level=None)
    locking.execute("BEGIN EXCLUSIVE")
    store = Store(str(path))
    with pytest.raises(Unusable, match=r"usage\.db: database is locked"):
        store.add({KEY: Sums(1)})
    locking.execute("ROLLBACK")
    locking.close()
    store.add({KEY: Sums(1)})
    store.close()
    assert dict(read(str(path), *ALWAYS))[KEY].requests == 2


def test_one_that_is_damaged_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    path.write_bytes(b"not a database, " * 200)
    with pytest.raises(Unusable, match="file is not a database"):
        Store(str(path)).add({KEY: Sums(1)})
    with pytest.raises(Unusable, match="file is not a database"):
        read(str(path), *ALWAYS)
    assert path.read_bytes() == b"not a database, " * 200


def test_another_programs_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE usage (theirs)")
    theirs.commit()
    before = path.read_bytes()
    with pytest.raises(Unusable, match="another program's file"):
        Store(str(path)).add({KEY: Sums(1)})
    with pytest.raises(Unusable, match="no usage store of lb"):
        read(str(path), *ALWAYS)
    theirs.close()
    assert path.read_bytes() == before


def test_a_later_versions_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    _write(str(path), 1)
    later = sqlite3.connect(path)
    later.execute("PRAGMA user_version = 2")
    later.close()
    with pytest.raises(Unusable, match="a later version of lb"):
        Store(str(path)).add({KEY: Sums(1)})


@pytest.mark.parametrize("path", ["missing/usage.db", "."])
def test_one_that_cannot_be_made_is_told(tmp_path: Path, path: str) -> None:
    with pytest.raises(Unusable):
        Store(str(tmp_path / path)).add({KEY: Sums(1)})
    with pytest.raises(Unusable, match="no such file"):
        read(str(tmp_path / path), *ALWAYS)


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    _write(str(path), 1)
    store = Store(str(path))
    store.add({})
    assert store._open is not None
    pages = store._open.execute("PRAGMA page_count").fetchone()[0]
    store._open.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to say that there is no more room
    many = {KEY._replace(tenant=f"tenant-{number}"): Sums(1) for number in range(1000)}
    with pytest.raises(Unusable, match="full"):
        store.add(many)
    store.add(many)
    store.close()
    assert len(read(str(path), *ALWAYS)) == 1001


def test_the_columns_of_the_file_are_those_of_the_sums(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    _write(str(path), 1)
    db = sqlite3.connect(path)
    columns = [row[1] for row in db.execute("PRAGMA table_info(usage)")]
    db.close()
    assert columns == [*Key._fields, *COUNTS]
