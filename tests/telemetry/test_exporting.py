"""The queue and the thread behind it: nothing waits, and nothing is lost without being counted."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from lb.telemetry.otel.alike import Fixed
from lb.telemetry.otel.exporting import Exporting, Pace, Unsent
from lb.telemetry.otel.spans import CLIENT, Span

SPAN = Span(b"1" * 16, b"2" * 8, b"", False, "", CLIENT, 1, 2, Fixed("n", ()), (), (), False, "")
TWO = [SPAN, SPAN]


class Carrier:
    """Takes batches as long as `problem` is none and the gate is open."""

    name = "test"

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.problem: Exception | None = None
        self.refuse = 0
        self.gate = threading.Event()
        self.gate.set()
        self.tries = 0
        self.closed = False

    def prepare(self, spans: Sequence[Span]) -> int:
        return len(spans)

    def send(self, batch: Sequence[Any]) -> int:
        self.tries += 1
        self.gate.wait(10)
        if self.problem is not None:
            raise self.problem
        self.batches.append(list(batch))
        return self.refuse

    def close(self) -> None:
        self.closed = True


class Setting:
    def __init__(self, **pace: float) -> None:
        self.carrier = Carrier()
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.exporting = Exporting(
            self.carrier,
            lambda level, text, **fields: self.lines.append((level, text, fields)),
            time.monotonic,
            Pace(**{"queue": 100, "batch": 10, "delay": 0.01, **pace}),  # type: ignore[arg-type]
        )

    @property
    def dropped(self) -> dict[str, int]:
        return {reason: count for _, reason, count in self.exporting.rows()["lb_spans_dropped_total"]}

    def texts(self) -> list[str]:
        return [text for _, text, _ in self.lines]


@pytest.fixture
def make() -> Iterator[Callable[..., Setting]]:
    made: list[Setting] = []

    def setting(**pace: float) -> Setting:
        made.append(Setting(**pace))
        return made[-1]

    yield setting
    for one in made:
        one.carrier.gate.set()
        one.exporting.close(10)


def until(so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not so():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_spans_are_sent_in_batches(make: Callable[..., Setting]) -> None:
    setting = make(queue=1000, delay=3600)
    for _ in range(50):
        setting.exporting.put(TWO)
    until(lambda: setting.exporting.sent == 100)
    assert all(sum(batch) <= 10 for batch in setting.carrier.batches)
    assert setting.dropped == {"queue": 0, "export": 0}
    assert not setting.lines


def test_a_few_spans_wait_no_longer_than_the_delay(make: Callable[..., Setting]) -> None:
    setting = make(delay=0.05)
    setting.exporting.put(TWO)
    until(lambda: setting.exporting.sent == 2)


def test_a_full_queue_drops_and_counts_and_says_so_once_each_way(make: Callable[..., Setting]) -> None:
    setting = make()
    setting.carrier.gate.clear()
    for _ in range(200):
        setting.exporting.put(TWO)
    assert setting.dropped["queue"] == 400 - 100
    assert setting.texts() == ["Spans are dropped: the queue for their export is full"]
    setting.carrier.gate.set()
    until(lambda: setting.exporting.sent == 100)
    until(lambda: len(setting.lines) == 2)
    assert setting.lines[1] == ("info", "Spans are kept again", {"exporter": "test", "dropped": 300})
    assert setting.exporting.sent + sum(setting.dropped.values()) == 400


def test_an_unreachable_receiver_is_told_of_once_and_so_is_its_return(make: Callable[..., Setting]) -> None:
    setting = make()
    setting.carrier.problem = Unsent("refused")
    for _ in range(5):
        setting.exporting.put(TWO)
        until(lambda: setting.exporting.failed + setting.exporting.sent == setting.exporting._put)
    assert setting.dropped == {"queue": 0, "export": 10}
    setting.carrier.problem = None
    setting.exporting.put(TWO)
    until(lambda: len(setting.lines) == 2)
    assert setting.lines[0] == (
        "warning", "Spans cannot be exported; traffic goes on", {"exporter": "test", "reason": "refused"},
    )  # fmt: skip
    level, text, fields = setting.lines[1]
    assert (level, text, fields["dropped"]) == ("info", "Spans are exported again", 10)


def test_what_may_be_tried_again_is_and_arrives(make: Callable[..., Setting]) -> None:
    setting = make()
    setting.carrier.problem = Unsent("503", again=True, pause=0.01)
    setting.exporting.put(TWO)
    until(lambda: setting.carrier.tries > 2)
    setting.carrier.problem = None
    until(lambda: setting.exporting.sent == 2)
    assert setting.dropped == {"queue": 0, "export": 0}


def test_what_the_receiver_refused_of_a_batch_is_counted(make: Callable[..., Setting]) -> None:
    setting = make()
    setting.carrier.refuse = 1
    setting.exporting.put(TWO)
    until(lambda: setting.exporting.sent == 1)
    assert setting.dropped == {"queue": 0, "export": 1}
    assert setting.texts() == ["The receiver refused spans"]


def test_a_librarys_bug_does_not_end_the_thread(make: Callable[..., Setting]) -> None:
    setting = make()
    setting.carrier.problem = KeyError("bug")
    setting.exporting.put(TWO)
    until(lambda: setting.exporting.failed == 2)
    setting.carrier.problem = None
    setting.exporting.put(TWO)
    until(lambda: setting.exporting.sent == 2)


def test_closing_sends_what_waits(make: Callable[..., Setting]) -> None:
    setting = make(delay=3600)
    for _ in range(4):
        setting.exporting.put(TWO)
    setting.exporting.close(30)
    assert setting.exporting.sent == 8
    assert setting.carrier.closed


def test_closing_ends_in_time_and_counts_what_is_left(make: Callable[..., Setting]) -> None:
    setting = make()
    setting.carrier.gate.clear()
    for _ in range(20):
        setting.exporting.put(TWO)
    before = time.monotonic()
    setting.exporting.close(0.2)
    assert time.monotonic() - before < 5, "the gate opens after ten seconds"
    assert setting.exporting.sent + sum(setting.dropped.values()) == 40
    assert setting.texts()[-1] == "Spans were left when time was up"


def test_an_unreachable_receiver_does_not_hold_up_the_end(make: Callable[..., Setting]) -> None:
    setting = make(delay=3600)
    setting.carrier.problem = Unsent("refused", again=True)
    setting.exporting.put(TWO)
    before = time.monotonic()
    setting.exporting.close(30)
    assert time.monotonic() - before < 15
    assert setting.dropped["export"] == 2
