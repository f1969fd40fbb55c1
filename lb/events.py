"""Facts that the spine tells to whoever listens. Observers are called in place, so they must be quick and not raise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from lb.balancing.backend import Backend
from lb.balancing.transitions import Cooled, Ejected, Recalled, Restored, Switched
from lb.metering.estimate import Count
from lb.metering.usage import Usage


class Outcome(Enum):
    """How a request ended; exactly one for each."""

    RELAYED = "relayed"
    CUT = "cut"  # by the backend, after the first relayed byte
    ABANDONED = "abandoned"  # by the client
    EXHAUSTED = "exhausted"  # no backend was left; the client got our 429, 502 or 504
    REFUSED = "refused"  # by us, before any backend had the whole request
    DRAINED = "drained"  # by us: it was still under way when the time to drain was up
    CRASHED = "crashed"  # our bug

    __hash__ = object.__hash__  # Enum's own is written in Python, and every request is counted by its outcome


class Attempted:
    """A request is about to be sent to a backend."""

    # This one and the next two are told of every request. They are no dataclasses, since the constructor that
    # `dataclasses` makes is not compiled.
    __slots__ = ("backend", "deployment", "number", "request_id", "target")

    def __init__(self, request_id: str, backend: Backend, deployment: str | None, target: bytes, number: int) -> None:
        self.request_id = request_id
        self.backend = backend
        self.deployment = deployment
        self.target = target
        self.number = number


class Judged:
    """What came of an attempt: a status where a reply head came, else the fault."""

    __slots__ = ("asked", "backend", "deployment", "detail", "number", "request_id", "seconds", "status", "verdict")

    def __init__(
        self,
        request_id: str,
        backend: Backend,
        deployment: str | None,
        number: int,
        status: int | None,
        verdict: str,
        seconds: float,
        detail: str = "",
        asked: float | None = None,
    ) -> None:
        self.request_id = request_id
        self.backend = backend
        self.deployment = deployment
        self.number = number
        self.status = status
        self.verdict = verdict
        self.seconds = seconds
        self.detail = detail
        self.asked = asked
        """Seconds of silence that a throttled backend gets for it."""


class Finished:
    """A request ended."""

    request_id: str
    method: str
    deployment: str | None
    outcome: Outcome
    status: int | None
    attempts: int
    seconds: float
    backend: str | None
    detail: str = ""
    tenant: str | None
    """Whose it was: the tenant's name, or the caller's where there are no tenants."""
    usage: Usage | None = None
    """What it cost, as far as it was watched."""
    unread: Exception | None = None
    """What kept its cost from being read, where that is not just that nothing tells it."""
    call: str = ""
    """The API that was called, in one word of a closed set, where its cost was watched."""
    recount: Callable[[Count], Usage] | None = None
    """Where the usage is estimated and the text was kept: the same by a better count, which takes long."""
    first_byte: float | None = None
    """Seconds until a backend's answer began to go out."""
    waited: float = 0.0
    """Those of them that the backend that answered took."""
    throttled: int = 0
    """Backends that refused it before, for a limit."""

    def __init__(
        self,
        request_id: str,
        method: str,
        deployment: str | None,
        outcome: Outcome,
        status: int | None,
        attempts: int,
        seconds: float,
        backend: str | None = None,
        tenant: str | None = None,
    ) -> None:
        self.request_id = request_id
        self.method = method
        self.deployment = deployment
        self.outcome = outcome
        self.status = status
        self.attempts = attempts
        self.seconds = seconds
        self.backend = backend
        self.tenant = tenant


@dataclass(slots=True)
class Exhausted:
    """Every backend that may serve a request is throttled."""

    request_id: str
    deployment: str | None
    seconds: float


@dataclass(slots=True)
class OverQuota:
    """A tenant's budget is used up, so its request is refused; `seconds` is None where it could never be held."""

    request_id: str
    tenant: str
    deployment: str | None
    limit: str
    seconds: float | None


@dataclass(slots=True)
class Healed:
    """A request found what it names on `backend`, after others had said that they do not have it."""

    request_id: str
    backend: Backend
    missed: tuple[str, ...]


@dataclass(slots=True)
class Scattered:
    """A request names objects that live on different backends, so it is refused."""

    request_id: str
    deployment: str | None
    places: tuple[str, ...]


@dataclass(slots=True)
class Trespassed:
    """A request names another tenant's object, so to it that does not exist."""

    request_id: str
    tenant: str
    deployment: str | None


class Trace(Protocol):
    """A request that is being recorded. Only those that are have one, and it is told here what becomes of them, so that
    the others pay nothing."""

    context: bytes
    """The header lines by which the next backend learns of it, rendered; the request has none of its own then."""

    def attempted(self, event: Attempted) -> None:
        """A backend is about to be asked: from now on `context` is for it."""

    def judged(self, event: Judged) -> None:
        """What came of that."""

    def finished(self, event: Finished) -> None:
        """The last that it is told."""

    def part(self) -> "Trace":
        """Follows one of several requests that are made of this one, and may run at once: it has a `context` of its
        own, and is told of its own attempts and end. The attempts are also those of the whole."""


Event = (
    Attempted
    | Judged
    | Finished
    | Cooled
    | Ejected
    | Restored
    | Switched
    | Recalled
    | Exhausted
    | OverQuota
    | Healed
    | Scattered
    | Trespassed
)
Emit = Callable[[Event], None]


class Listener(Protocol):
    """Listens to events: `tells` has a function for each kind that it cares about."""

    @property
    def tells(self) -> Mapping[type[Any], Callable[[Any], None]]: ...


class Observer:
    """A listener that can be told of an event by itself, too."""

    tells: Mapping[type[Any], Callable[[Any], None]]

    def __call__(self, event: Event) -> None:
        """Tell it an event of any kind."""
        tell = self.tells.get(type(event))
        if tell is not None:
            tell(event)


class Announcer:
    """Tells each event to those who care about its kind, in the order in which they came."""

    def __init__(self) -> None:
        self._tells: dict[type[Any], tuple[Callable[[Any], None], ...]] = {}

    def add(self, listener: Listener) -> None:
        """From now on it is told, too."""
        for kind, tell in listener.tells.items():
            self._tells[kind] = (*self._tells.get(kind, ()), tell)

    def __call__(self, event: Event) -> None:
        if (kind := type(event)) in self._tells:
            for tell in self._tells[kind]:
                tell(event)


__all__ = [
    "Announcer",
    "Attempted",
    "Cooled",
    "Ejected",
    "Emit",
    "Event",
    "Exhausted",
    "Finished",
    "Healed",
    "Judged",
    "Listener",
    "Observer",
    "Outcome",
    "OverQuota",
    "Recalled",
    "Restored",
    "Scattered",
    "Switched",
    "Trace",
    "Trespassed",
]
