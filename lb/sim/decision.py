"""A request as the endpoint sees it, and what it decides to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lb.sim.answer import Answer
from lb.sim.errors import Refusal, Spot
from lb.sim.faults import Plan
from lb.sim.limits import Standing

if TYPE_CHECKING:
    from lb.sim.realtime.opening import Opening

GOOD = Plan(None, [])


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as a decision needs it; field names are looked up without regard to case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Download:
    """The content of a file, as it was uploaded or made."""

    content: bytes
    content_type: str = "application/octet-stream"


@dataclass(slots=True)
class Decision:
    """What is to come of a request: a refusal, a body, an answer, or a fault in place of all three."""

    spot: Spot
    plan: Plan = GOOD
    refusal: Refusal | None = None
    found: dict[str, Any] | Download | None = None
    answer: Answer | None = None
    standing: Standing | None = None
    operation: str = ""
    tenant: str = ""
    streams: bool = False
    opening: "Opening | None" = None
    """A WebSocket that is granted, unless there is a refusal."""

    @property
    def throttled(self) -> bool:
        """Did a limit refuse it?"""
        return self.standing is not None and self.standing.refused is not None
