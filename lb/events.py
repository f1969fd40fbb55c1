"""Facts that the spine tells to whoever listens. Observers are called in place, so they must be quick and not raise."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from lb.balancing.backend import Backend


class Outcome(Enum):
    """How a request ended; exactly one for each."""

    RELAYED = "relayed"
    CUT = "cut"  # by the backend, after the first relayed byte
    ABANDONED = "abandoned"  # by the client
    EXHAUSTED = "exhausted"  # no backend was left; the client got our 429, 502 or 504
    REFUSED = "refused"  # by us, before any backend was asked
    CRASHED = "crashed"  # our bug


@dataclass(slots=True)
class Attempted:
    """A request is about to be sent to a backend."""

    request_id: str
    backend: Backend
    deployment: str | None
    target: bytes
    number: int


@dataclass(slots=True)
class Judged:
    """What came of an attempt: a status where a reply head came, else the fault."""

    request_id: str
    backend: Backend
    deployment: str | None
    number: int
    status: int | None
    verdict: str
    seconds: float
    detail: str = ""


@dataclass(slots=True)
class Finished:
    """A request ended."""

    request_id: str
    method: str
    deployment: str | None
    outcome: Outcome
    status: int | None
    attempts: int
    seconds: float
    backend: str | None = None
    detail: str = ""


@dataclass(slots=True)
class Cooled:
    """A backend asked for silence for a deployment and was available until now."""

    backend: Backend
    deployment: str | None
    seconds: float
    reason: str
    request_id: str | None = None


@dataclass(slots=True)
class Ejected:
    """A backend (for one deployment, or whole where `deployment` is None and `whole`) is left alone after faults."""

    backend: Backend
    deployment: str | None
    seconds: float
    reason: str
    request_id: str | None = None
    misconfigured: bool = False


@dataclass(slots=True)
class Restored:
    """A backend that was cooling or ejected served again."""

    backend: Backend
    deployment: str | None
    request_id: str | None = None


@dataclass(slots=True)
class Exhausted:
    """Every backend that may serve a request is throttled."""

    request_id: str
    deployment: str | None
    seconds: float


Event = Attempted | Judged | Finished | Cooled | Ejected | Restored | Exhausted
Emit = Callable[[Event], None]
