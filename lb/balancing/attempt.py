"""A permit to send one request to one backend."""

from dataclasses import dataclass

from lb.balancing.backend import Backend
from lb.balancing.health import Health


@dataclass(slots=True, eq=False)
class Attempt:
    """A permit to send one request to one backend; returned exactly once by `Pool.release`."""

    health: Health
    started: float
    request_id: str
    trial: bool = False
    probes_cell: bool = False
    probes_site: bool = False
    struck: int | None = None
    """The row of strikes that a fault of this attempt was counted in."""
    released: bool = False

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
