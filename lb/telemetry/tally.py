"""The observer that counts: what `/status` shows beside the health table."""

from collections import Counter
from typing import Any

from lb.events import Attempted, Finished, Judged, Observer, Outcome


class Tally(Observer):
    """Totals since the process started."""

    def __init__(self) -> None:
        self.requests = 0
        self.attempts = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.absorbed = 0
        """Throttled attempts of requests that another backend then answered."""
        self.tells = {Attempted: self._attempted, Judged: self._judged, Finished: self._finished}

    def _attempted(self, event: Attempted) -> None:
        self.attempts += 1

    def _judged(self, event: Judged) -> None:
        self.verdicts[event.verdict] += 1

    def _finished(self, event: Finished) -> None:
        self.requests += 1
        self.outcomes[event.outcome] += 1
        if event.backend is not None:
            self.absorbed += event.throttled

    def totals(self) -> dict[str, Any]:
        """The numbers by their names in `/status`."""
        return {
            "finished": self.requests,
            "outcomes": {outcome.value: count for outcome, count in self.outcomes.items()},
            "attempts": self.attempts,
            "verdicts": dict(self.verdicts),
            "throttled_absorbed": self.absorbed,
        }
