"""Requests with the same key are better sent to one backend: it has their prompt in its cache, or their objects.

A wish and no more: it chooses among equals that are available, and yields to load (a `Home` does not).
"""

import math
import re
from collections.abc import Sequence
from hashlib import blake2b

from lb.balancing.health import Health

SLACK = 1.25
SPARE = 4
"""A backend may have so many times its share of what is in flight, and so many more, before its keys go elsewhere."""
_KEY = re.compile(rb'"prompt_cache_key"\s*:\s*"((?:[^"\\]|\\.){1,1024})"', re.DOTALL)
_PROMPTS = (b'"instructions"', b'"messages"', b'"input"', b'"prompt"')
_UNIT = 2.0**64


class Home(bytes):
    """The key of who makes objects. A file, a store and an assistant can be used together only where all of them are,
    so load is no reason to make the next one elsewhere."""

    @classmethod
    def of(cls, tenant: str | None) -> "Home":
        """Everybody's, where nobody is known."""
        return cls(b"home of " + (tenant or "").encode())


def key_of(body: bytes, prefix: int = 0, *, told: bool = True) -> bytes:
    """What requests with the same prompt share: the `prompt_cache_key` that they tell (`told`), else the first `prefix`
    bytes of their prompt. Empty: nothing."""
    if told and b'"prompt_cache_key"' in body:
        found = _KEY.search(body)
        if found is not None:
            return found[1]
    if not prefix:
        return b""
    for name in _PROMPTS:
        at = body.find(name)
        if at >= 0:
            return blake2b(body[at : at + len(name) + prefix], digest_size=16).digest()
    return b""


def sticky(candidates: Sequence[Health], key: bytes) -> Health | None:
    """The backend of this key, or the next in its order where that one is loaded above its share; None: nobody's.

    The home of objects is the first in the order, however loaded it is.

    Weighted rendezvous hashing (Thaler and Ravishankar 1998): when a backend leaves, only its keys move. The bound on
    loads is that of Mirrokni, Thorup and Zadimoghaddam 2018, with some spare for times when little is running.
    """
    if isinstance(key, Home):
        return min(candidates, key=lambda health: _score(health, key))
    running = sum([health.in_flight for health in candidates]) + 1
    weights = sum([health.site.backend.weight for health in candidates])
    for health in sorted(candidates, key=lambda health: _score(health, key)):
        if health.in_flight < running * health.site.backend.weight / weights * SLACK + SPARE:
            return health
    return None


def _score(health: Health, key: bytes) -> float:
    """Lower is better."""
    backend = health.site.backend
    drawn = blake2b(key, digest_size=8, key=blake2b(backend.name.encode()).digest()).digest()
    return -math.log((int.from_bytes(drawn, "big") + 1) / (_UNIT + 1)) / backend.weight
