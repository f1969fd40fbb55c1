"""The health table: who may serve a request, what was learned from the reply, when somebody is back.

Every function takes `now` in seconds of a monotonic clock and returns; nothing here waits. Facts worth telling are
passed to `tell`, on transitions only.
"""

import random
from collections.abc import Sequence

from lb.balancing.attempt import Attempt
from lb.balancing.backend import Backend
from lb.balancing.health import Health, Site
from lb.balancing.learning import Learning
from lb.balancing.policy import Policy, least_loaded
from lb.balancing.snapshot import Row, rows
from lb.balancing.transitions import Tell
from lb.balancing.verdict import Verdict

MAX_CELLS = 4096
"""Bound of the table: callers choose deployment names, so they must not be able to fill our memory."""
TRIAL_HINT = 1.0
"""Seconds to tell a client to wait when a returning deployment is being tried just now."""


class Pool:
    """All backends with what is believed of them. `tell` hears about transitions."""

    def __init__(
        self,
        backends: Sequence[Backend],
        tell: Tell,
        *,
        policy: Policy = least_loaded,
        rng: random.Random | None = None,
    ) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - a share of traffic is no secret
        self._learning = Learning(tell)
        self._turn = 0.0
        self._sites: dict[str, Site] = {}
        self._cells: dict[tuple[str, str | None], Health] = {}
        self._lanes: dict[str | None, list[Health]] = {}
        self._cooling: set[Health] = set()
        self.replace(backends, policy)

    @property
    def backends(self) -> tuple[Backend, ...]:
        return tuple(site.backend for site in self._sites.values())

    def replace(self, backends: Sequence[Backend], policy: Policy) -> None:
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
        self._cooling = {cell for cell in self._cooling if id(cell.site) in kept}
        self._lanes = {}
        self._policy = policy

    def serving(self, deployment: str | None) -> bool:
        """Does any backend serve this deployment, well or not?"""
        return any(site.backend.serves(deployment) for site in self._sites.values())

    def served(self) -> list[str]:
        """The deployments that are configured by name, sorted."""
        return sorted({name for site in self._sites.values() for name in site.backend.deployments or ()})

    def begin(self, now: float, deployment: str | None, tried: set[str], request_id: str) -> Attempt | None:
        """A permit for the best backend not yet in `tried`, or None. Lowest priority number first, then the policy."""
        if self._cooling:
            self.expire(now)
        lane = self._lane(deployment)
        candidates: list[Health] = []
        for health in lane:
            backend = health.site.backend
            if candidates and backend.priority > candidates[0].site.backend.priority:
                break
            if health.admits(now) and backend.name not in tried:
                candidates.append(health)
        if candidates:
            chosen = candidates[0] if len(candidates) == 1 else self._policy(candidates, now, self._rng)
        else:
            risk = self._at_risk(now, lane, tried)
            if risk is None:
                return None
            chosen = risk
        return self._permit(now, chosen, request_id)

    def _at_risk(self, now: float, lane: Sequence[Health], tried: set[str]) -> Health | None:
        """When only ejections stand in the way, the one that ends soonest is tried: no self-made outage.

        A silent backend would hold the request for the whole idle limit, so it is tried only when nobody is throttled:
        a 429 with the wait serves the client better.
        """
        throttled = any(health.returning for health in lane)
        open_to_risk = [
            health
            for health in lane
            if health.site.backend.name not in tried
            and health.is_open_to_risk(now)
            and not (throttled and (health.silent or health.misconfigured))
        ]
        if not open_to_risk:
            return None
        return min(open_to_risk, key=lambda health: (health.misconfigured, health.ejected_until() or 0.0))

    def _permit(self, now: float, health: Health, request_id: str) -> Attempt:
        health.in_flight += 1
        start = max(self._turn, health.turn)
        self._turn, health.turn = start, start + 1.0 / health.site.backend.weight
        attempt = Attempt(health, now, request_id)
        if health.returning:
            attempt.trial = True
            health.trials += 1
        if health.breaker.open and not health.breaker.probing:
            attempt.probes_cell = health.breaker.probing = True
        if health.site.breaker.open and not health.site.breaker.probing:
            attempt.probes_site = health.site.breaker.probing = True
        return attempt

    def learn(self, now: float, attempt: Attempt, verdict: Verdict, earlier: Sequence[Attempt] = ()) -> None:
        """Take in what came of an attempt. `earlier` are this request's attempts that drew a 5xx before."""
        self._learning.learn(now, attempt, verdict, earlier)
        if attempt.health.cooling:
            self._cooling.add(attempt.health)
        self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        """Give back what only one attempt may hold while nothing is known yet."""
        if attempt.trial:
            attempt.trial = False
            attempt.health.trials -= 1
        if attempt.probes_cell:
            attempt.probes_cell = attempt.health.breaker.probing = False
        if attempt.probes_site:
            attempt.probes_site = attempt.health.site.breaker.probing = False

    def release(self, attempt: Attempt) -> None:
        """Return the permit, at the end of the body. A second time does nothing."""
        if attempt.released:
            return
        attempt.released = True
        self._settle(attempt)
        attempt.health.in_flight -= 1

    def others(self, now: float, deployment: str | None, tried: set[str]) -> bool:
        """Is there anybody left to try right now?"""
        return any(h.site.backend.name not in tried and h.admits(now) for h in self._lane(deployment))

    def awaits_trial(self, now: float, deployment: str | None, tried: set[str]) -> bool:
        """Is somebody held back only until a running trial tells?"""
        return any(h.site.backend.name not in tried and h.awaits_trial(now) for h in self._lane(deployment))

    def soonest(self, now: float, deployment: str | None) -> float | None:
        """Seconds until the first cooldown ends among those who may serve this deployment; None when nobody cools."""
        lane = self._lane(deployment)
        waits = [health.cooling_until - now for health in lane if health.is_cooling(now)]
        if any(health.returning and not health.is_cooling(now) for health in lane):
            waits.append(TRIAL_HINT)
        return min(waits, default=None)

    def expire(self, now: float) -> None:
        """Tell about cooldowns that have ended."""
        for health in [health for health in self._cooling if not health.is_cooling(now)]:
            self._cooling.discard(health)
            self._learning.returned(health)

    def snapshot(self, now: float) -> list[Row]:
        """The table as it stands, by priority and name."""
        return rows(self._sites.values(), self._cells.values(), now)

    def _lane(self, deployment: str | None) -> list[Health]:
        """Everybody who serves this deployment, by priority."""
        lane = self._lanes.get(deployment)
        if lane is None:
            if len(self._lanes) >= MAX_CELLS or len(self._cells) >= MAX_CELLS:
                self._forget()
            sites = [site for site in self._sites.values() if site.backend.serves(deployment)]
            lane = [self._cell(site, site.backend.calls(deployment)) for site in sites]
            lane.sort(key=lambda health: health.site.backend.priority)
            self._lanes[deployment] = lane
        return lane

    def _cell(self, site: Site, deployment: str | None) -> Health:
        key = (site.backend.name, deployment)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Health(site, deployment, turn=self._turn)
        return cell

    def _forget(self) -> None:
        """Drop what costs least to lose: names that nobody is using and that are not cooling."""
        self._cells = {key: cell for key, cell in self._cells.items() if cell.in_flight or cell in self._cooling}
        self._lanes = {}
