"""Which of several equals? A policy is a pure choice among available candidates of one priority."""

import random
from collections.abc import Callable, Sequence

from lb.balancing.health import Health

Policy = Callable[[Sequence[Health], float, random.Random], Health]

HEADROOM_AGE = 60.0
"""Seconds after which what a backend said of its remaining limit is forgotten: Azure's windows last a minute."""


def least_loaded(candidates: Sequence[Health], now: float, rng: random.Random) -> Health:
    """Fewest in flight for its weight; among equals whose turn it is.

    Loads are compared in steps of one request at the lightest of them: finer ones would give every backend the same
    share as long as fewer requests run than there are weights.
    """
    chosen = candidates[0]
    weight, least, credit = chosen.site.backend.weight, chosen.in_flight, chosen.credit
    for health in candidates:  # a loop, since every request comes by here: a third of the time of `min` with a key
        if health.site.backend.weight != weight:
            lightest = _lightest(candidates)
            return min(candidates, key=lambda health: _load(health, lightest))
        load = health.in_flight
        if load < least or (load == least and health.credit > credit):
            chosen, least, credit = health, load, health.credit
    return chosen


def take_turn(candidates: Sequence[Health], chosen: Health) -> None:
    """Smooth weighted round robin: everybody is owed its weight, and who was chosen pays for all.

    Kept within one round, so that nobody is flooded later with what it missed while it was busy.
    """
    total = 0
    for health in candidates:
        weight = health.site.backend.weight
        total += weight
        health.credit += weight
    for health in candidates:
        if health.credit > total:
            health.credit = total
    chosen.credit = max(chosen.credit - total, -total)


def round_robin(candidates: Sequence[Health], now: float, rng: random.Random) -> Health:
    """In turn, by weight."""
    return max(candidates, key=_owed)


def weighted_random(candidates: Sequence[Health], now: float, rng: random.Random) -> Health:
    """At random by weight, as the C# sample does it (all weights are 1 there)."""
    return rng.choices(candidates, [health.backend.weight for health in candidates])[0]


def headroom(candidates: Sequence[Health], now: float, rng: random.Random) -> Health:
    """Most of its limit left, in steps of a tenth, as the backends last told; then least loaded."""
    lightest = _lightest(candidates)
    return min(candidates, key=lambda health: (-_tenths_left(health, now), *_load(health, lightest)))


def _owed(health: Health) -> int:
    return health.credit + health.site.backend.weight


def _lightest(candidates: Sequence[Health]) -> int:
    return min([health.site.backend.weight for health in candidates])


def _load(health: Health, lightest: int) -> tuple[int, int]:
    return health.in_flight * lightest // health.site.backend.weight, -_owed(health)


def _tenths_left(health: Health, now: float) -> int:
    if health.headroom is None or now - health.headroom_at > HEADROOM_AGE:
        return 10
    return int(health.headroom * 10)


POLICIES: dict[str, Policy] = {
    "least-loaded": least_loaded,
    "round-robin": round_robin,
    "random": weighted_random,
    "headroom": headroom,
}
