"""The health table: one line for each (backend, deployment) that was asked for, within a bound."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from lb.balancing.backend import Backend
from lb.balancing.health import Health, Site

MAX_CELLS = 4096
"""Bound of the table: callers choose deployment names, so they must not be able to fill our memory."""


class Table:
    """Who serves a deployment, and what is believed of them."""

    def __init__(self) -> None:
        self.born: Callable[[Health], None] | None = None
        """Told of every new line."""
        self._sites: dict[str, Site] = {}
        self._cells: dict[tuple[str, str | None], Health] = {}
        self._lanes: dict[str | None, list[Health]] = {}
        self._tiers: dict[str | None, list[list[Health]]] = {}

    @property
    def sites(self) -> Sequence[Site]:
        return tuple(self._sites.values())

    @property
    def cells(self) -> Sequence[Health]:
        return tuple(self._cells.values())

    def __contains__(self, health: Health) -> bool:
        return self._cells.get((health.backend.name, health.deployment)) is health

    def replace(self, backends: Sequence[Backend]) -> None:
        """Swap the configuration; what is believed of a backend whose name and address stay is kept."""
        old, self._sites = self._sites, {}
        for backend in backends:
            site = old.get(backend.name)
            if site is None or site.backend.url != backend.url:
                site = Site(backend)
            site.backend = backend
            self._sites[backend.name] = site
        kept = set(map(id, self._sites.values()))
        self._cells = {key: cell for key, cell in self._cells.items() if id(cell.site) in kept}
        self._lanes, self._tiers = {}, {}

    def serves(self, deployment: str | None) -> bool:
        """Does anybody serve this deployment?"""
        return bool(self._lanes.get(deployment)) or any(
            site.backend.serves(deployment) for site in self._sites.values()
        )

    def switch(self, site: Site, *, out: bool) -> None:
        """The operator's word. Who is out stands in no lane, so that it costs a request nothing to know."""
        site.out = out
        self._lanes, self._tiers = {}, {}

    def taken_out(self, deployment: str | None) -> list[str]:
        """Who would serve this deployment, had no operator taken it out."""
        return [site.backend.name for site in self._sites.values() if site.out and site.backend.serves(deployment)]

    def lane(self, deployment: str | None) -> list[Health]:
        """Everybody who serves this deployment and is not taken out, by priority."""
        lane = self._lanes.get(deployment)
        if lane is None:
            if len(self._lanes) >= MAX_CELLS or len(self._cells) + len(self._sites) > MAX_CELLS:
                self._forget()
            lane = sorted(self._serving(deployment), key=lambda health: health.backend.priority)
            self._lanes[deployment] = lane
        return lane

    def tiers(self, deployment: str | None) -> list[list[Health]]:
        """The same, those of one priority together."""
        tiers = self._tiers.get(deployment)
        if tiers is None:
            lane = self.lane(deployment)
            tiers = [list(tier) for _, tier in groupby(lane, lambda health: health.backend.priority)]
            self._tiers[deployment] = tiers
        return tiers

    def site(self, backend: str) -> Site | None:
        """A backend by its name."""
        return self._sites.get(backend)

    def find(self, backend: str, deployment: str | None) -> Health | None:
        """The line of a backend for a deployment as it calls it, where there is one."""
        return self._cells.get((backend, deployment))

    def cell(self, backend: str, deployment: str | None) -> Health | None:
        """The line of a backend for a deployment as it calls it; None where there is no such backend, or no room."""
        site = self._sites.get(backend)
        if site is None or len(self._cells) + len(self._sites) > MAX_CELLS:
            return None
        return self._cell(site, deployment)

    def _cell(self, site: Site, deployment: str | None) -> Health:
        cell = self._cells.get((site.backend.name, deployment))
        if cell is None:
            cell = self._cells[site.backend.name, deployment] = Health(site, deployment)
            if self.born is not None:
                self.born(cell)
        return cell

    def _serving(self, deployment: str | None) -> Iterator[Health]:
        for site in self._sites.values():
            if site.backend.serves(deployment):
                cell = self._cell(site, site.backend.calls(deployment))
                if not site.out:
                    yield cell

    def _forget(self) -> None:
        """Drop the half that costs least to lose: names that nobody is using or cooling, oldest first."""
        by_worth = sorted(self._cells.items(), key=lambda item: _worth(item[1]))
        self._cells = dict(by_worth[(len(by_worth) + 1) // 2 :])
        self._lanes, self._tiers = {}, {}


def _worth(health: Health) -> tuple[bool, bool, bool]:
    """What would be lost with it. A wrong name costs nothing to find out again; one that served is a real one."""
    return health.in_flight > 0 or health.cooling, health.breaker.open and not health.misconfigured, health.served > 0
