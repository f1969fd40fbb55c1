"""Behind the requests: what is entered, when, and what becomes of it while the file cannot be written."""

import threading
from pathlib import Path
from typing import Any

import pytest

from lb.events import Finished, Outcome
from lb.metering.usage import UNKNOWN, Usage
from lb.telemetry.metrics import Metrics
from lb.usage.entering import DAY, Entering
from lb.usage.store import Store, Unusable, read
from lb.usage.sums import Key, Rows, Sums
from tests.made import made

NOON = 20_778 * DAY + 43_200
"""2026-11-21"""


def finished(tenant: str | None = "Ada", deployment: str | None = "Chat", **more: Any) -> Finished:
    ended = Finished("r-1", "POST", deployment, Outcome.RELAYED, 200, 1, 0.7, backend="BACKEND_1", tenant=tenant)
    return made(ended, call="chat", **more)


class FakeStore(Store):
    """Keeps in memory, and refuses while it is told to."""

    def __init__(self) -> None:
        super().__init__("/nowhere/usage.db")
        self.rows: Rows = {}
        self.broken = False
        self.oldest: list[str | None] = []
        self.tried = threading.Event()

    def add(self, rows: Rows, oldest: str | None = None) -> None:
        self.tried.set()
        if self.broken:
            raise Unusable("/nowhere/usage.db: disk I/O error")
        self.oldest.append(oldest)
        for key, sums in rows.items():
            self.rows.setdefault(key, Sums()).merge(sums)


class Story:
    def __init__(self, keep_days: int = 400) -> None:
        self.now = float(NOON)
        self.store = FakeStore()
        self.said: list[tuple[str, str]] = []
        self.entering = Entering(
            self.store, lambda: self.now, lambda level, text, **_: self.said.append((level, text)), keep_days=keep_days
        )

    def end(self) -> Rows:
        self.entering.start()
        self.entering.close(10)
        return self.store.rows


def test_what_is_known_of_a_cost_is_a_row_of_its_own() -> None:
    story = Story()
    story.entering.spent(finished(), Usage(10, 5, 15, cached=4, reasoning=2))
    story.entering.spent(finished("ada", "chat"), Usage(1, 1, 2))
    story.entering.spent(finished(), Usage(7, 7, 14, estimated=True))
    story.entering.spent(finished(None, None), UNKNOWN)
    key = Key("2026-11-21", "ada", "chat", "BACKEND_1", "chat", "reported")
    assert story.end() == {
        key: Sums(2, 11, 6, 17, cached=4, reasoning=2),
        key._replace(source="estimated"): Sums(1, 7, 7, 14),
        Key("2026-11-21", "none", "none", "BACKEND_1", "chat", "unknown"): Sums(1),
    }
    assert story.entering.readings() == {"lb_usage_store_failures_total": [[0]], "lb_usage_store_waiting": [[0]]}


def test_a_reply_belongs_to_the_day_on_which_it_ended() -> None:
    story = Story()
    story.now = NOON + 43_199.9
    story.entering.spent(finished(), Usage(1, 1, 2))
    story.now += 0.2
    story.entering.spent(finished(), Usage(1, 1, 2))
    assert sorted(key.day for key in story.end()) == ["2026-11-21", "2026-11-22"]


def test_old_days_are_swept_once_a_day() -> None:
    story = Story(keep_days=30)
    story.entering.spent(finished(), UNKNOWN)
    story.entering._enter(False)
    story.entering.spent(finished(), UNKNOWN)
    story.entering._enter(False)
    assert story.store.oldest == ["2026-10-23", None]


def test_while_the_file_cannot_be_written_nothing_is_lost_and_it_is_said_once() -> None:
    story = Story()
    entering, store = story.entering, story.store
    store.broken = True
    entering.spent(finished(), Usage(1, 1, 2))
    assert not entering._enter(False)
    entering.spent(finished(), Usage(1, 1, 2))
    entering.spent(finished("bob"), Usage(1, 1, 2))
    assert not entering._enter(True)
    assert entering.readings() == {"lb_usage_store_failures_total": [[2]], "lb_usage_store_waiting": [[3]]}
    store.broken = False
    assert entering._enter(True)
    assert sum(sums.total for sums in store.rows.values()) == 6
    assert entering.waiting == 0
    assert [level for level, _ in story.said] == ["error", "info"]
    assert story.said[0][1].endswith("/nowhere/usage.db: disk I/O error")


def test_what_could_not_be_written_to_the_end_is_said() -> None:
    story = Story()
    story.store.broken = True
    story.entering.spent(finished(), Usage(1, 1, 2))
    story.end()
    assert story.said[-1] == ("error", "Usage was lost: the store could not be written to the end")


def test_made_up_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lb.usage.entering.MOST_ROWS", 3)
    story = Story()
    for number in range(50):
        story.entering.spent(finished(f"tenant-{number}"), Usage(1, 1, 2))
    rows = story.end()
    assert len(rows) == 4
    assert sum(sums.requests for sums in rows.values()) == 50


def test_the_thread_enters_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lb.usage.entering.EVERY_SECONDS", 0.01)
    story = Story()
    story.entering.spent(finished(), Usage(1, 1, 2))
    story.entering.start()
    assert story.store.tried.wait(10)
    story.entering.close(10)
    assert story.entering.waiting == 0


def test_a_late_count_is_entered_instead_of_the_estimate() -> None:
    story, late = Story(), []
    metrics = Metrics(later=lambda recount, told: late.append((recount, told)))
    metrics.spent = story.entering.spent
    rough, better = Usage(10, 10, 20, estimated=True), Usage(9, 9, 18, estimated=True)
    metrics(finished(usage=rough, recount=lambda count: better))
    metrics(finished(usage=rough, recount=lambda count: better))
    assert story.entering.waiting == 0
    late[0][1](better)
    late[1][1](None)  # too many waited, or the tokenizer failed
    (sums,) = story.end().values()
    assert sums == Sums(2, 19, 19, 38)
    assert metrics.snapshot()["openai_total_tokens_total"] == [["backend_1", "ada", "chat", 38]]


def test_it_is_in_the_real_file(tmp_path: Path) -> None:
    path = str(tmp_path / "usage.db")
    entering = Entering(Store(path), lambda: NOON, lambda *_, **__: None)
    entering.spent(finished(), Usage(1, 2, 3))
    entering.start()
    entering.close(10)
    ((key, sums),) = read(path, "2026-11-21", "2026-11-21")
    assert (key.tenant, sums.total) == ("ada", 3)
