"""The observer that counts: what `/status` shows beside the health table."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from lb.events import Attempted, Event, Finished, Judged, Outcome


@dataclass(slots=True)
class Tally:
    """Totals since the process started. Call it with every event."""

    requests: int = 0
    attempts: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    absorbed: int = 0
    """Throttled attempts of requests that another backend then answered."""
    _throttled: Counter[str] = field(default_factory=Counter)
    """Throttled attempts of the requests that are still running, by request id."""

    def __call__(self, event: Event) -> None:
        kind = type(event)
        if kind is Attempted:
            self.attempts += 1
        elif kind is Judged:
            self._judged(cast(Judged, event))
        elif kind is Finished:
            self._finished(cast(Finished, event))

    def _judged(self, event: Judged) -> None:
        self.verdicts[event.verdict] += 1
        if event.verdict == "throttled":
            self._throttled[event.request_id] += 1

    def _finished(self, event: Finished) -> None:
        self.requests += 1
        self.outcomes[event.outcome] += 1
        if self._throttled:
            throttled = self._throttled.pop(event.request_id, 0)
            if event.backend is not None:
                self.absorbed += throttled

    def totals(self) -> dict[str, Any]:
        """The numbers by their names in `/status`."""
        return {
            "finished": self.requests,
            "outcomes": {outcome.value: count for outcome, count in self.outcomes.items()},
            "attempts": self.attempts,
            "verdicts": dict(self.verdicts),
            "throttled_absorbed": self.absorbed,
        }
