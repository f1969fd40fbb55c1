"""Which of several equals? A policy is a pure choice among available candidates of one priority."""

import random
from collections.abc import Callable, Sequence

from lb.balancing.health import Health

Policy = Callable[[Sequence[Health], float, random.Random], Health]

HEADROOM_AGE = 60.0
"""Seconds after which what a backend said of its remaining limit is forgotten: Azure's windows last a minute."""


def least_loaded(candidates: Sequence[Health], now: float, rng: random.Random) -> Health:
    """Fewest in flight for its weight; among equals whose turn it is, so that sparse traffic follows weights, too."""
    return min(candidates, key=_load)


def round_robin(candidates: Sequence[Health], now: float, rng: random.Random) -> Health:
    """In turn, by weight."""
    return min(candidates, key=_turn)


def weighted_random(candidates: Sequence[Health], now: float, rng: random.Random) -> Health:
    """At random by weight, as the C# sample does it (all weights are 1 there)."""
    return rng.choices(candidates, [health.backend.weight for health in candidates])[0]


def headroom(candidates: Sequence[Health], now: float, rng: random.Random) -> Health:
    """Most of its limit left, in steps of a tenth, as the backends last told; then least loaded."""
    return min(candidates, key=lambda health: (-_tenths_left(health, now), *_load(health)))


def _turn(health: Health) -> float:
    return health.turn


def _load(health: Health) -> tuple[float, float]:
    return health.in_flight / health.site.backend.weight, health.turn


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
