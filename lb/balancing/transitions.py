"""Transitions of the health table that are worth telling."""

from collections.abc import Callable
from dataclasses import dataclass

from lb.balancing.backend import Backend


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
    """A backend is left alone after faults: for one deployment, or as a `whole`."""

    backend: Backend
    deployment: str | None
    seconds: float
    reason: str
    request_id: str | None = None
    misconfigured: bool = False
    whole: bool = False


@dataclass(slots=True)
class Restored:
    """A cooldown ended, or an ejected backend answered again."""

    backend: Backend
    deployment: str | None
    request_id: str | None = None
    whole: bool = False


@dataclass(slots=True)
class Switched:
    """An operator took a backend `out`, or put it back."""

    backend: Backend
    out: bool
    by: str


@dataclass(slots=True)
class Recalled:
    """An operator ended what kept a backend away from a deployment before its time."""

    backend: Backend
    deployment: str | None
    by: str


Transition = Cooled | Ejected | Restored | Switched | Recalled
Tell = Callable[[Transition], None]
