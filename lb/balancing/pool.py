"""The health table: who may serve a request, what was learned from the reply, when somebody is back.

Every function takes `now` in seconds of a monotonic clock and returns; nothing here waits. Facts worth telling are
passed to `tell`, on transitions only.
"""

import math
import random
from collections.abc import Sequence

from lb.balancing.attempt import Attempt
from lb.balancing.backend import Backend
from lb.balancing.health import Health
from lb.balancing.learning import Learning
from lb.balancing.peers import Peers
from lb.balancing.policy import Policy, least_loaded, take_turn
from lb.balancing.sharing import Sharing
from lb.balancing.snapshot import Row, rows
from lb.balancing.sticky import sticky
from lb.balancing.table import Table
from lb.balancing.transitions import Recalled, Switched, Tell
from lb.balancing.verdict import Verdict

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
        peers: Peers | None = None,
    ) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - a share of traffic is no secret
        self._learning = Learning(tell)
        self._next_return = math.inf
        """The first cooldown ends no earlier than this."""
        self._table = Table()
        self._sharing = Sharing(peers, self._table, self.expire) if peers is not None else None
        if self._sharing is not None:
            self._table.born = self._sharing.born
        self._cooling: set[Health] = set()
        self.replace(backends, policy)

    @property
    def backends(self) -> tuple[Backend, ...]:
        return tuple(site.backend for site in self._table.sites)

    def replace(self, backends: Sequence[Backend], policy: Policy) -> None:
        """Swap the configuration; what is believed of a backend whose name and address stay is kept."""
        self._policy = policy
        self._table.replace(backends)
        self._cooling = {health for health in self._cooling if health in self._table}

    def serving(self, deployment: str | None) -> bool:
        """Does any backend serve this deployment, well or not?"""
        return self._table.serves(deployment)

    def served(self) -> list[str]:
        """The deployments that are configured by name, sorted."""
        return sorted({name for site in self._table.sites for name in site.backend.deployments or ()})

    def begin(
        self,
        now: float,
        deployment: str | None,
        tried: set[str],
        request_id: str,
        avoid: frozenset[str] = frozenset(),
        key: bytes = b"",
    ) -> Attempt | None:
        """A permit for the best backend not yet in `tried`, or None. Lowest priority number first, then the policy.

        Backends in `avoid` are asked only when no other is available. Requests with the same `key` go to the same
        backend, where it is one of several equals and not loaded above its share.
        """
        if now >= self._next_return:
            self.expire(now)
        if self._sharing is not None:
            return self._begin_among_peers(now, deployment, tried, request_id, avoid, key, self._sharing)
        chosen = self._choose(now, deployment, tried, avoid, key)
        return None if chosen is None else self._permit(now, chosen, request_id)

    def _begin_among_peers(
        self,
        now: float,
        deployment: str | None,
        tried: set[str],
        request_id: str,
        avoid: frozenset[str],
        key: bytes,
        sharing: Sharing,
    ) -> Attempt | None:
        """As `begin`, with what other workers know, and within what all of them together may do."""
        sharing.hear(now)
        while (chosen := self._choose(now, deployment, tried, avoid, key)) is not None:
            risky = not (chosen.admits(now) or (chosen.silent and self._throttled(now, deployment)))
            attempt = self._permit(now, chosen, request_id)
            if not attempt.bound:
                return attempt
            # Who had the right before may have learned something just before it gave the right back.
            if sharing.enter(now, attempt, risky=risky) and not sharing.hear(now):
                return attempt
            self.release(attempt)
        return None

    def _choose(
        self, now: float, deployment: str | None, tried: set[str], avoid: frozenset[str], key: bytes
    ) -> Health | None:
        candidates = self._candidates(now, deployment, tried | avoid) if avoid else []
        candidates = candidates or self._candidates(now, deployment, tried)
        if len(candidates) > 1:
            chosen = (sticky(candidates, key) if key else None) or self._policy(candidates, now, self._rng)
            take_turn(candidates, chosen)
        elif candidates:
            chosen = candidates[0]
        else:
            return self._at_risk(now, deployment, tried)
        return chosen

    def _candidates(self, now: float, deployment: str | None, tried: set[str]) -> list[Health]:
        """Everybody of the lowest priority number that is available."""
        for tier in self._table.tiers(deployment):
            candidates = [health for health in tier if health.admits(now)]
            if tried:
                candidates = [health for health in candidates if health.site.backend.name not in tried]
            if candidates:
                return candidates
        return []

    def _at_risk(self, now: float, deployment: str | None, tried: set[str]) -> Health | None:
        """When only ejections stand in the way, the one that ends soonest is tried: no self-made outage.

        A silent backend would hold the request for the whole idle limit. With others throttled, a 429 with the wait
        serves the client better, so only one request at a time finds out whether there is capacity after all.
        """
        lane = self._table.lane(deployment)
        throttled = self._throttled(now, deployment)
        open_to_risk = [
            health
            for health in lane
            if health.site.backend.name not in tried
            and health.is_open_to_risk(now)
            and not (throttled and (health.misconfigured or (health.silent and health.is_probed(now))))
        ]
        if not open_to_risk:
            return None
        return min(open_to_risk, key=lambda health: (health.misconfigured, health.ejected_until() or 0.0))

    def _throttled(self, now: float, deployment: str | None) -> bool:
        return any(h.is_cooling(now) or h.awaits_trial(now) for h in self._table.lane(deployment))

    def _permit(self, now: float, health: Health, request_id: str) -> Attempt:
        health.in_flight += 1
        attempt = Attempt(health, now, request_id)
        if health.returning:
            attempt.trial = True
            health.trials += 1
        if health.breaker.open and not health.breaker.probing:
            attempt.probes_cell = health.breaker.probing = True
            health.breaker.probing_since = now
        if health.site.breaker.open and not health.site.breaker.probing:
            attempt.probes_site = health.site.breaker.probing = True
            health.site.breaker.probing_since = now
        return attempt

    def learn(self, now: float, attempt: Attempt, verdict: Verdict, earlier: Sequence[Attempt] = ()) -> None:
        """Take in what came of an attempt. `earlier` are this request's attempts that drew a 5xx before."""
        if self._sharing is not None:
            self._sharing.hear(now)
        self._learning.learn(now, attempt, verdict, earlier)
        if attempt.health.cooling:
            self._cooling.add(attempt.health)
            self._next_return = min(self._next_return, attempt.health.cooling_until)
        if self._sharing is not None:
            self._sharing.say(now, attempt.health)
            for before in earlier:
                self._sharing.say(now, before.health)
        self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        """Give back what only one attempt may hold while nothing is known yet."""
        if self._sharing is not None and attempt.bound:
            self._sharing.leave(attempt)
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
        """Is anybody else available right now?"""
        return any(h.site.backend.name not in tried and h.admits(now) for h in self._table.lane(deployment))

    def reachable(self, now: float, deployment: str | None, tried: set[str]) -> bool:
        """Would `begin` give a permit, now or once a running trial tells?"""
        return (
            self.others(now, deployment, tried)
            or self._at_risk(now, deployment, tried) is not None
            or self.awaits_trial(now, deployment, tried)
        )

    def awaits_trial(self, now: float, deployment: str | None, tried: set[str]) -> bool:
        """Is somebody held back only until a running trial, or the probe of a silent backend, tells?"""
        return any(
            h.site.backend.name not in tried and (h.awaits_trial(now) or h.awaits_probe(now))
            for h in self._table.lane(deployment)
        )

    def soonest(self, now: float, deployment: str | None, excluded: frozenset[str] = frozenset()) -> float | None:
        """Seconds until the first of those that cool is back, among those who may serve this deployment.

        None when nobody cools. Where an ejection lasts longer than the cooldown, its end counts, if nobody would be let
        through before.
        """
        lane = self._table.lane(deployment)
        if excluded:
            lane = [health for health in lane if health.site.backend.name not in excluded]
        waits = [
            (health.back_at() if health.silent or health.misconfigured else health.cooling_until) - now
            for health in lane
            if health.is_cooling(now)
        ]
        if any(health.awaits_trial(now) for health in lane):
            waits.append(TRIAL_HINT)
        return min(waits, default=None)

    def expire(self, now: float) -> None:
        """Tell about cooldowns that have ended."""
        for health in [health for health in self._cooling if not health.is_cooling(now)]:
            self._cooling.discard(health)
            if health in self._table:
                self._learning.returned(health)
        self._next_return = min((health.cooling_until for health in self._cooling), default=math.inf)

    def cool(self, now: float, backend: str, deployment: str | None, seconds: float, reason: str) -> None:
        """Another replica was told to leave it alone for so long, and has logged it: this is told to nobody."""
        health = self._table.cell(backend, deployment)
        if health is not None and now + seconds > health.cooling_until:
            health.cooling_until, health.reason, health.returning = now + seconds, reason, True

    def switch(self, now: float, backend: str, by: str, *, out: bool) -> bool:
        """An operator takes a backend out: it finishes what it has and gets nothing new; or puts it back.

        False where there is no such backend, or it is so already.
        """
        site = self._table.site(backend)
        if site is None or site.out == out:
            return False
        self._table.switch(site, out=out)
        self._learning.tell(Switched(site.backend, out, by))
        return True

    def recall(self, now: float, backend: str, deployment: str | None, by: str) -> bool:
        """An operator ends a cooldown, or the wait of an ejection, before its time. It then comes back as ever: by two
        requests, or by one probe. False where nothing keeps it away."""
        health = self._table.find(backend, deployment)
        if health is None or health.back_at() <= now:
            return False
        health.recall(now)
        self._learning.tell(Recalled(health.backend, deployment, by))
        self.expire(now)
        return True

    def taken_out(self, deployment: str | None) -> list[str]:
        """Who would serve this deployment, had no operator taken it out."""
        return self._table.taken_out(deployment)

    def hear(self, now: float) -> None:
        """Another worker rang: adopt what it said."""
        if self._sharing is not None:
            self._sharing.rung()
            self._sharing.hear(now)

    def tick(self, now: float) -> None:
        """What is due now and then, whether or not requests come."""
        self.expire(now)
        if self._sharing is not None:
            self._sharing.hear(now)
            self._sharing.say_all(now)

    def snapshot(self, now: float) -> list[Row]:
        """The table as it stands, by priority and name."""
        return rows(self._table.sites, self._table.cells, now)
