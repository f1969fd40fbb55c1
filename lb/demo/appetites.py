"""Several tenants of uneven appetite, and what each of them may use.

The endpoints have no limits here, so that every 429 is a tenant's own. Who is within its budget has far more than it
asks for; who is beyond it asks for far more than it has, however slow the machine.
"""

import json
from dataclasses import dataclass, field

from lb.demo.plan import REPLY_TOKENS


@dataclass(frozen=True, slots=True)
class Appetite:
    """One tenant: `burst` requests at once, every `gap` seconds."""

    name: str
    burst: int
    gap: float
    limits: dict[str, int] = field(default_factory=dict)
    beyond: str | None = None
    """The budget that it runs into; None: it must not be refused."""

    @property
    def key(self) -> str:
        """Its client key."""
        return f"key-of-{self.name}"

    def says(self) -> str:
        """What it may use, in words."""
        return ", ".join(f"{value:,} {in_short(name)}" for name, value in self.limits.items()) or "no limit"


def in_short(limit: str) -> str:
    """A budget's name for a narrow column."""
    return limit.replace("max_concurrent", "at once").replace("_per_minute", "/min")


APPETITES = (
    Appetite("marketing", 4, 0.2, {"tokens_per_minute": 2_000}, beyond="tokens_per_minute"),
    Appetite("search", 1, 0.3, {"tokens_per_minute": 50_000}),
    Appetite("batch", 10, 1.0, {"max_concurrent": 4}, beyond="max_concurrent"),
    Appetite("intern", 1, 0.5, {"requests_per_minute": 6}, beyond="requests_per_minute"),
    Appetite("platform", 2, 0.5),
)


def endpoint(number: int) -> list[str]:
    """Arguments of `lb sim`: no limit, and answers that take long enough to be several at once."""
    return [
        "sim", f"--name=openai{number}", f"--seed={number}", f"--reply-tokens={REPLY_TOKENS}", "--latency=0.1-0.2",
        "--token-delay=0.002-0.006",
    ]  # fmt: skip


def settings() -> dict[str, str]:
    """The balancer's: tenants known by their keys, and exact counts also for streams."""
    tenants = [{"name": each.name, **each.limits} for each in APPETITES]
    clients = [{"name": each.name, "keys": [each.key]} for each in APPETITES]
    told = json.dumps({"tenants": tenants, "clients": clients})
    return {"LB_CONFIG_INLINE": told, "LB_INCLUDE_USAGE": "true"}
