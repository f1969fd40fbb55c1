"""Tenants: who has a budget, and how a request says whose it is."""

import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator

from lb.config import values
from lb.config.audit import tenant_audit
from lb.config.section import Section
from lb.config.values import Wrong
from lb.metering.tenant import Limits, Source, Tenant, Tenants

MOST = 10**15
_FIELD_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TAKEN = frozenset({"api-key", "authorization", "host", "content-length", "transfer-encoding", "connection", "expect"})

Amount = Annotated[int, BeforeValidator(values.whole(1, MOST))]


def tenant_name(value: object) -> str:
    """Lower-cased, so that it is one label however it is written."""
    return values.name(value).lower()


def _names(value: object) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(values.name(item) for item in values.items(value)))
    if not found:
        raise Wrong("at least one name")
    return found


def _deployments(value: object) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(values.deployment(item) for item in values.items(value)))
    if not found:
        raise Wrong("at least one deployment; without the line all are allowed")
    return found


def _by_deployment(value: object) -> object:
    """The names are looked at here, what stands below each by its own section."""
    if not isinstance(value, dict):
        raise Wrong("a section with a deployment in each line, and limits below it")
    found = {values.deployment(name).lower(): limits for name, limits in value.items()}
    if len(found) < len(value):
        raise Wrong("every deployment once, in any case of its letters")
    return {name: value[spelled] for name, spelled in zip(found, value, strict=True)}


def _sources(value: object) -> tuple[Source, ...]:
    """Where a request says whose it is, the first that says something first."""
    words = [item.lower() for item in values.items(value)]
    known = [source.value for source in Source]
    if not words or not set(words) <= set(known) or len(set(words)) < len(words):
        raise Wrong(f"a list of {', '.join(known[:-1])} and {known[-1]}, each at most once")
    return tuple(Source(word) for word in words)


def _header(value: object) -> str:
    """A header field's name."""
    found = values.text(value)
    if not _FIELD_NAME.fullmatch(found) or found.lower() in _TAKEN:
        raise Wrong("the name of a header field such as X-Tenant, and none that means something else")
    return found


def _parameter(value: object) -> str:
    """A query parameter's name."""
    found = values.text(value)
    if not _PARAMETER_NAME.fullmatch(found) or found.lower() in ("api-version", "api-key", "model", "deployment"):
        raise Wrong("the name of a query parameter such as tenant, and none that means something else")
    return found


class _Named(Section):
    name: Annotated[str, BeforeValidator(tenant_name)]


class LimitsOfTenant(Section):
    """What may be used."""

    tokens_per_minute: Amount | None = None
    requests_per_minute: Amount | None = None
    tokens_per_day: Amount | None = None
    tokens_per_month: Amount | None = None
    max_concurrent: Amount | None = None

    def limits(self) -> Limits:
        """As the quotas know them."""
        return Limits(**{name: getattr(self, name) for name in LimitsOfTenant.model_fields})


class TenantSection(LimitsOfTenant, _Named):
    """One tenant."""

    callers: Annotated[tuple[str, ...], BeforeValidator(_names)] | None = None
    deployments: Annotated[tuple[str, ...], BeforeValidator(_deployments)] | None = None
    backends: Annotated[tuple[str, ...], BeforeValidator(_names)] | None = None
    include_usage: Annotated[bool, BeforeValidator(values.switch)] | None = None
    spill: Annotated[bool, BeforeValidator(values.switch)] = False
    priority: Annotated[int, BeforeValidator(values.whole(0, 1000))] = 1
    weight: Annotated[int, BeforeValidator(values.whole(1, 1000))] = 1
    audit: Annotated[Literal["all", "sample", "none"], BeforeValidator(tenant_audit)] | None = None
    per_deployment: Annotated[dict[str, LimitsOfTenant], BeforeValidator(_by_deployment)] | None = None

    def to_domain(self, backends: Iterable[str]) -> Tenant:
        """As the rest of the program knows it. `backends` are all names, in their own spelling."""
        own = {name.lower() for name in self.backends or ()}
        return Tenant(
            name=self.name,
            limits=self.limits(),
            deployment_limits=MappingProxyType(
                {name: section.limits() for name, section in (self.per_deployment or {}).items()}
            ),
            deployments=frozenset(map(str.lower, self.deployments)) if self.deployments is not None else None,
            backends=frozenset(name for name in backends if name.lower() in own),
            pinned=bool(own) and not self.spill,
            include_usage=self.include_usage,
            priority=self.priority,
            weight=self.weight,
        )


class TenancySection(Section):
    """How a request says whose it is."""

    sources: Annotated[tuple[Source, ...], BeforeValidator(_sources)] = (Source.CALLER,)
    header: Annotated[str, BeforeValidator(_header)] = "X-Tenant"
    parameter: Annotated[str, BeforeValidator(_parameter)] = "tenant"
    default: Annotated[str, BeforeValidator(tenant_name)] | None = None
    required: Annotated[bool, BeforeValidator(values.switch)] = False

    def to_domain(self, tenants: Iterable[TenantSection], backends: Iterable[str]) -> Tenants:
        """All tenants."""
        sections, names = tuple(tenants), tuple(backends)
        return Tenants(
            [section.to_domain(names) for section in sections],
            {caller.lower(): section.name for section in sections for caller in section.callers or ()},
            sources=self.sources,
            default=self.default,
            required=self.required,
        )
