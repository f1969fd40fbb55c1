"""The file: SQLite, one table. Blocks: for a thread of its own, or for a command."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from lb.usage.sums import COUNTS, Key, Rows, Sums

BUSY_SECONDS = 5.0
"""How long a writer waits for another one: each holds the file for milliseconds."""
MARK = 0x6C62_7573
"""`lbus`, SQLite's application_id: so that no other program's file is taken for ours, nor written to."""
VERSION = 1
_KEYS = Key._fields
_TABLE = f"""CREATE TABLE usage ({", ".join(f"{name} TEXT NOT NULL" for name in _KEYS)},
    {", ".join(f"{name} {'REAL' if name == 'audio_seconds' else 'INTEGER'} NOT NULL" for name in COUNTS)},
    PRIMARY KEY ({", ".join(_KEYS)})) WITHOUT ROWID"""
_ADD = f"""INSERT INTO usage VALUES ({", ".join("?" for _ in (*_KEYS, *COUNTS))}) ON CONFLICT DO UPDATE SET
    {", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)}"""  # noqa: S608 - names of our own
_READ = f"""SELECT {", ".join((*_KEYS, *COUNTS))} FROM usage WHERE day >= ? AND day <= ?"""  # noqa: S608 - likewise


class Unusable(Exception):
    """The file cannot be read or written; the text says why, in the operator's words."""


class Store:
    """One file, which several processes may write to at the same time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = None

    def add(self, rows: Rows, oldest: str | None = None) -> None:
        """Add to what is there, all or nothing; forget days before `oldest`. Raises `Unusable`."""
        try:
            db = self._open = self._open or self._opened()
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany(_ADD, [(*key, *(getattr(sums, name) for name in COUNTS)) for key, sums in rows.items()])
                if oldest is not None:
                    db.execute("DELETE FROM usage WHERE day < ?", (oldest,))
        except (sqlite3.Error, OSError) as problem:
            self.close()  # the file may be another one next time
            raise Unusable(f"{self.path}: {_reason(problem)}") from problem

    def close(self) -> None:
        """Idempotent."""
        db, self._open = self._open, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _opened(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(db)
        except BaseException:
            db.close()
            raise
        return db


def read(path: str, since: str, until: str) -> list[tuple[Key, Sums]]:
    """The rows of these days, both included. Raises `Unusable`."""
    if not Path(path).is_file():
        raise Unusable(f"{path}: there is no such file")
    try:
        with closing(
            sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        ) as db:
            if not _is_ours(db):
                raise Unusable(f"{path}: this is no usage store of lb")
            return [_row(found) for found in db.execute(_READ, (since, until))]
    except sqlite3.Error as problem:
        raise Unusable(f"{path}: {_reason(problem)}") from problem


def _prepare(db: sqlite3.Connection) -> None:
    filled = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if filled and not _is_ours(db):  # asked in this order: table and mark come together, perhaps just now
        raise sqlite3.DatabaseError("this is another program's file")
    if not filled:
        _make(db)
    db.execute("PRAGMA synchronous = NORMAL")


def _make(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    with db:
        db.execute("BEGIN IMMEDIATE")
        if not _is_ours(db):  # another worker may have been quicker
            db.execute(_TABLE)
            db.execute(f"PRAGMA application_id = {MARK}")
            db.execute(f"PRAGMA user_version = {VERSION}")


def _is_ours(db: sqlite3.Connection) -> bool:
    mark = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if mark == MARK and version > VERSION:
        raise sqlite3.DatabaseError("this was written by a later version of lb")
    return bool(mark == MARK)


def _row(found: Iterable[object]) -> tuple[Key, Sums]:
    values = list(found)
    return Key(*map(str, values[: len(_KEYS)])), Sums(*values[len(_KEYS) :])  # type: ignore[arg-type]


def _reason(problem: sqlite3.Error | OSError) -> str:
    return (problem.strerror or str(problem)) if isinstance(problem, OSError) else str(problem)
