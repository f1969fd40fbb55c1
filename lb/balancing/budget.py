"""How many faults may be retried, so that an outage is not doubled by our own retries."""

SLICES = 11
"""Of one second each, the running one included: so any 10 s lie within them."""


class FaultBudget:
    """Allows retries of faults up to `share` of the requests in any 10 s, and at least `floor` of them.

    Throttling is not a fault and needs no budget; nor does a backend that could not be reached, since nothing was sent.
    """

    def __init__(self, share: float = 0.2, floor: int = 5) -> None:
        self._share = share
        self._floor = floor
        self._requests = [0] * SLICES
        self._retries = [0] * SLICES
        self._second = 0

    def request(self, now: float) -> None:
        """Count a request."""
        self._turn(int(now))
        self._requests[self._second % SLICES] += 1

    def retry(self, now: float) -> bool:
        """May one more fault be retried? Counts it if so."""
        self._turn(int(now))
        if sum(self._retries) >= max(self._floor, self._share * sum(self._requests)):
            return False
        self._retries[self._second % SLICES] += 1
        return True

    def _turn(self, second: int) -> None:
        if second <= self._second:
            return
        for passed in range(max(self._second + 1, second - SLICES + 1), second + 1):
            self._requests[passed % SLICES] = 0
            self._retries[passed % SLICES] = 0
        self._second = second
