"""What one question to a backend brought."""

from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    """How good it is."""

    GOOD = "ok"
    DOUBTFUL = "look"
    BAD = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """A judgement, and the reason in the operator's words."""

    mark: Mark
    detail: str


@dataclass(frozen=True, slots=True)
class Step:
    """One question with its answer."""

    name: str
    finding: Finding
    seconds: float


@dataclass(frozen=True, slots=True)
class Probe:
    """All that was asked of one backend; ends at the first step that makes the next ones pointless."""

    backend: str
    steps: tuple[Step, ...]

    @property
    def failed(self) -> bool:
        return any(step.finding.mark is Mark.BAD for step in self.steps)


def good(detail: str) -> Finding:
    return Finding(Mark.GOOD, detail)


def doubtful(detail: str) -> Finding:
    return Finding(Mark.DOUBTFUL, detail)


def bad(detail: str) -> Finding:
    return Finding(Mark.BAD, detail)
