"""A permit to send one request to one backend."""

from lb.balancing.backend import Backend
from lb.balancing.health import Health


class Attempt:
    """A permit to send one request to one backend; returned exactly once by `Pool.release`."""

    __slots__ = ("health", "probes_cell", "probes_site", "released", "request_id", "started", "struck", "trial")

    def __init__(self, health: Health, started: float, request_id: str, trial: bool = False) -> None:
        self.health = health
        self.started = started
        self.request_id = request_id
        self.trial = trial
        self.probes_cell = False
        self.probes_site = False
        self.struck: int | None = None
        """The row of strikes that a fault of this attempt was counted in."""
        self.released = False

    @property
    def bound(self) -> bool:
        """Does it hold what only so many may?"""
        return self.trial or self.probes_cell or self.probes_site

    @property
    def backend(self) -> Backend:
        return self.health.site.backend

    @property
    def deployment(self) -> str | None:
        return self.health.deployment
