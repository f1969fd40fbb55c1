"""Enters what replies cost into the store, behind the requests: the event loop adds to a row in memory, and once a
second a thread adds the rows to the file.

While the file cannot be written, rows gather in memory and nothing is lost but by the end of the process.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from lb.events import Finished
from lb.metering.usage import Usage
from lb.usage.store import Store, Unusable
from lb.usage.sums import OTHER, Rows, Sums, key_of

EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
"""The longest pause between tries while the file cannot be written."""
MOST_ROWS = 10_000
"""That wait to be entered; what comes on top shares a row for each backend."""
DAY = 86_400


class Entering:
    """`say(level, text, **fields)` writes a log line, from any thread; `wall` is seconds since the epoch."""

    def __init__(
        self, store: Store, wall: Callable[[], float], say: Callable[..., None], *, keep_days: int = 400
    ) -> None:
        self._store = store
        self._wall = wall
        self._say = say
        self._keep = keep_days
        self._lock = threading.Lock()
        self._rows: Rows = {}
        self._number = -1
        self._day = ""
        self._swept = ""
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.failures = 0
        """Tries that did not get the rows into the file."""
        self.waiting = 0
        """Replies that are not in the file yet."""

    def spent(self, event: Finished, usage: Usage) -> None:
        """A reply's cost is known."""
        key = key_of(self._today(), event, usage)
        with self._lock:
            sums = self._rows.get(key)
            if sums is None:
                if len(self._rows) >= MOST_ROWS:
                    key = key._replace(tenant=OTHER, deployment=OTHER)
                sums = self._rows.setdefault(key, Sums())
            sums.add(usage)
            self.waiting += 1

    def start(self) -> None:
        """From now on it is entered."""
        self._thread = threading.Thread(target=self._run, name="usage-store", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 2 * PATIENCE_SECONDS) -> None:
        """Enter what is left, if that can be done at once. Blocks for `timeout` seconds at most. Idempotent."""
        self._closing.set()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join(timeout)
        if self.waiting:
            self._say("error", "Usage was lost: the store could not be written to the end", replies=self.waiting)

    def readings(self) -> dict[str, list[list[Any]]]:
        """For `/metrics`."""
        return {
            "lb_usage_store_failures_total": [[self.failures]],
            "lb_usage_store_waiting": [[self.waiting]],
        }

    def _today(self) -> str:
        number = int(self._wall()) // DAY
        if number != self._number:
            self._number = number
            self._day = datetime.fromtimestamp(number * DAY, UTC).date().isoformat()
        return self._day

    def _run(self) -> None:
        pause, failing = EVERY_SECONDS, False
        while not self._closing.wait(pause):
            failing = not self._enter(failing)
            pause = min(2 * pause, PATIENCE_SECONDS) if failing else EVERY_SECONDS
        self._enter(failing)
        self._store.close()

    def _enter(self, failing: bool) -> bool:
        """Add what has gathered to the file; False when it could not be done. Says so once, and once that it can."""
        with self._lock:
            rows, self._rows = self._rows, {}
        if not rows and not failing:
            return True
        try:
            self._store.add(rows, self._oldest())
        except Unusable as problem:
            self._put_back(rows)
            if not failing:
                self._say("error", f"Usage cannot be stored, and gathers in memory: {problem}")
            return False
        with self._lock:
            self.waiting -= sum(sums.requests for sums in rows.values())
        if failing:
            self._say("info", f"Usage is stored again: {self._store.path}")
        return True

    def _put_back(self, rows: Rows) -> None:
        with self._lock:
            self.failures += 1
            for key, sums in self._rows.items():
                if key in rows:
                    rows[key].merge(sums)
                else:
                    rows[key] = sums
            self._rows = rows
        self._swept = ""

    def _oldest(self) -> str | None:
        """The first day that is kept, once a day."""
        today = datetime.fromtimestamp(self._wall(), UTC).date()
        if self._swept == today.isoformat():
            return None
        self._swept = today.isoformat()
        return (today - timedelta(days=self._keep - 1)).isoformat()
