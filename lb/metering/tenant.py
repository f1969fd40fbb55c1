"""Whose request is it, and what may it do? Tenants, and how a request is found to belong to one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be used, in tokens or requests; None is no limit."""

    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    """From midnight to midnight UTC."""
    tokens_per_month: int | None = None
    """A calendar month, UTC."""
    max_concurrent: int | None = None


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A team, a customer, an application: whoever has a budget of its own. All names are lower-cased."""

    name: str
    limits: Limits = UNLIMITED
    deployment_limits: Mapping[str, Limits] = field(default_factory=dict)
    """Further limits, for one deployment each."""
    deployments: frozenset[str] | None = None
    """Those that it may call; None is all."""
    backends: frozenset[str] = frozenset()
    """Names of the backends that are its own; empty is none in particular."""
    pinned: bool = False
    """Only its own backends serve it; else they are preferred and others help out."""
    include_usage: bool | None = None
    """Are its chat streams to be asked for their usage? None is as for everybody."""
    priority: int = 1
    """Class in the waiting room: a lower number goes first."""
    weight: int = 1
    """Share in the waiting room, among tenants of its class."""

    def may_call(self, deployment: str) -> bool:
        """Is this deployment open to it? Azure does not mind the case of the name, so neither do we."""
        return self.deployments is None or deployment.lower() in self.deployments


class Source(StrEnum):
    """Where a request says who it is from."""

    CALLER = "caller"  # the name of its client key or Entra identity, which was checked
    HEADER = "header"  # a hint that anybody can write
    QUERY = "query"  # likewise


class Unidentified(Enum):
    """Why no tenant was found."""

    MISSING = "missing"  # the request names none
    UNKNOWN = "unknown"  # there is none of that name


class Tenants:
    """All tenants, and the names by which requests say them.

    `callers` maps further names of callers to tenants' names. Without any tenant every name is one, without limits.
    """

    def __init__(
        self,
        tenants: Iterable[Tenant] = (),
        callers: Mapping[str, str] | None = None,
        *,
        sources: Sequence[Source] = (Source.CALLER,),
        default: str | None = None,
        required: bool = False,
    ) -> None:
        self._by_name = {tenant.name: tenant for tenant in tenants}
        self._callers = dict(callers or {})
        self.sources = tuple(sources)
        self._default = default
        self._required = required or bool(self._by_name)

    @property
    def all(self) -> tuple[Tenant, ...]:
        return tuple(self._by_name.values())

    def find(self, said: Mapping[Source, str]) -> Tenant | Unidentified | None:
        """The tenant by the first source that says something; None where none is said and none is needed."""
        for source in self.sources:
            name = said.get(source, "").strip().lower()
            if name:
                return self._named(name, source)
        if self._default is not None:
            return self._named(self._default, None)
        return Unidentified.MISSING if self._required else None

    def _named(self, name: str, source: Source | None) -> Tenant | Unidentified:
        if source is Source.CALLER:
            name = self._callers.get(name, name)
        found = self._by_name.get(name)
        if found is None and not self._by_name:
            return Tenant(name)
        if found is None and self._default is not None:
            found = self._by_name.get(self._default)
        return found or Unidentified.UNKNOWN
