"""Requests and tokens of the last minutes, by backend: totals, looked at every few seconds; a request pays nothing.

Steps are counted on a clock that all workers share, so that theirs add up.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

STEP_SECONDS = 5
STEPS = 60

Totals = Mapping[str, tuple[int, int]]
"""Backend to its attempts and tokens since the start."""


class Rates:
    """`totals` is asked once in each step."""

    def __init__(self, totals: Callable[[], Totals]) -> None:
        self._totals = totals
        self._step: int | None = None
        self._before: Totals = {}
        self._rows: dict[str, deque[tuple[int, int]]] = {}

    def tick(self, now: float) -> None:
        """To be called more often than the steps are long."""
        step = int(now) // STEP_SECONDS
        if step == self._step:
            return
        missed = 0 if self._step is None else step - self._step - 1
        totals = self._totals()
        if self._step is not None:
            self._append(totals, missed)
        self._step, self._before = step, totals

    def _append(self, totals: Totals, missed: int) -> None:
        """What came since the last look belongs to the step that has ended; steps that were slept through are empty."""
        for name, (attempts, tokens) in totals.items():
            attempts_before, tokens_before = self._before.get(name, (0, 0))
            row = self._rows.setdefault(name, deque(maxlen=STEPS))
            row.extend([(0, 0)] * min(missed, STEPS))
            row.append((attempts - attempts_before, tokens - tokens_before))

    def document(self, names: list[str], *, tokens: bool) -> dict[str, Any]:
        """By its names in `/status`. `tokens`: are they counted at all?"""
        rows = {name: list(self._rows.get(name, ())) for name in names}
        padded = {name: [(0, 0)] * (STEPS - len(row)) + row for name, row in rows.items()}
        return {
            "step_seconds": STEP_SECONDS,
            "last_step": -1 if self._step is None else self._step - 1,
            "backends": [
                {
                    "name": name,
                    "requests": [attempts for attempts, _ in row],
                    "tokens": [spent for _, spent in row] if tokens else None,
                }
                for name, row in padded.items()
            ],
        }
