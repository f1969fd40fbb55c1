"""What replies cost, added up: a row for each day, tenant, deployment, backend, API and way of knowing."""

from dataclasses import dataclass, fields
from typing import NamedTuple

from lb.events import Finished
from lb.metering.usage import Usage

NONE = "none"
OTHER = "other"


class Key(NamedTuple):
    """What a row is about. `source` is `reported`, `estimated` or `unknown`."""

    day: str
    """UTC, such as 2026-11-21."""
    tenant: str
    deployment: str
    backend: str
    call: str
    source: str


@dataclass(slots=True)
class Sums:
    """Of `requests` replies. Those of unknown cost have zeros that mean nothing."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    total: int = 0
    cached: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    audio_seconds: float = 0.0

    def add(self, usage: Usage) -> None:
        """One more reply."""
        self.requests += 1
        self.prompt += usage.prompt
        self.completion += usage.completion
        self.total += usage.total
        self.cached += usage.cached
        self.reasoning += usage.reasoning
        self.audio_in += usage.audio_in
        self.audio_out += usage.audio_out
        self.audio_seconds += usage.audio_seconds

    def merge(self, other: "Sums") -> None:
        """All of another row."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


COUNTS = tuple(field.name for field in fields(Sums))
"""The names of what is added up."""

Rows = dict[Key, Sums]


def key_of(day: str, event: Finished, usage: Usage) -> Key:
    """Azure does not mind the case of a deployment's name, and metrics show tenants in lower case: so does this."""
    source = "unknown" if usage.unknown else "estimated" if usage.estimated else "reported"
    tenant, deployment = (event.tenant or NONE).lower(), (event.deployment or NONE).lower()
    return Key(day, tenant, deployment, event.backend or NONE, event.call or NONE, source)
