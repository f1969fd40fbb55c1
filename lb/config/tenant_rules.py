"""What must hold between tenants and the rest of the configuration."""

from collections.abc import Iterator
from typing import Any

from lb.config.draft import Draft
from lb.config.model import Config
from lb.config.problems import place
from lb.config.settings import Path
from lb.config.values import did_you_mean
from lb.metering.tenant import Source

Conflict = tuple[tuple[Path, ...], str]


def twice_named(draft: Draft) -> Iterator[str]:
    """A tenant's name stands there once, whatever the values are worth."""
    tenants = draft.tree.get("tenants")
    named: dict[str, int] = {}
    for index, tenant in enumerate(tenants if isinstance(tenants, list) else ()):
        name: Any = tenant.get("name") if isinstance(tenant, dict) else None
        if isinstance(name, str) and named.setdefault(name.lower(), index) != index:
            first = place(("tenants", named[name.lower()], "name"), draft)
            where = place(("tenants", index, "name"), draft)
            yield f"{where}: found {name[:64]!r}, which {first} is called; allowed is each once"


def conflicts(config: Config, draft: Draft) -> Iterator[Conflict]:
    """Names of callers, backends and the default tenant, which must be somebody's."""
    yield from _callers(config, draft)
    yield from _backends(config, draft)
    tenancy, names = config.tenancy, [tenant.name for tenant in config.tenants]
    if names and tenancy.default is not None and tenancy.default not in names:
        path: Path = ("tenancy", "default")
        yield (
            (path, ("tenants",)),
            f"{place(path, draft)}: found {tenancy.default!r}; allowed is one of the tenants, {', '.join(names[:20])}"
            f"{did_you_mean(tenancy.default, names)}",
        )
    if names and tenancy.sources == (Source.CALLER,) and tenancy.default is None and not config.checks_callers:
        path = ("tenants",)
        yield (
            (path, ("tenancy",), ("clients",), ("entra",)),
            f"{place(path, draft)}: found tenants, but nothing tells whose a request is; allowed is to set "
            "LB_CLIENT_KEYS or LB_ENTRA_TENANT_ID, to trust a hint by LB_TENANT_FROM, or LB_TENANT_DEFAULT",
        )


def _callers(config: Config, draft: Draft) -> Iterator[Conflict]:
    known = _known_callers(config)
    owners: dict[str, str] = {}
    for index, tenant in enumerate(config.tenants):
        path: Path = ("tenants", index, "callers")
        for caller in tenant.callers or ():
            if caller.lower() not in known:
                yield (
                    (path, ("clients",), ("entra",)),
                    f"{place(path, draft)}: found {caller!r}; allowed are names of client keys or of allowed Entra "
                    f"identities{did_you_mean(caller, sorted(known))}",
                )
            if owners.setdefault(caller.lower(), tenant.name) != tenant.name:
                yield (
                    (path,),
                    f"{place(path, draft)}: found {caller!r}, which {owners[caller.lower()]!r} has, too; "
                    "allowed is each caller for one tenant",
                )


def _backends(config: Config, draft: Draft) -> Iterator[Conflict]:
    known = {backend.name.lower(): backend.name for backend in config.backends}
    for index, tenant in enumerate(config.tenants):
        path: Path = ("tenants", index, "backends")
        for backend in tenant.backends or ():
            if backend.lower() not in known:
                yield (
                    (path, ("backends",)),
                    f"{place(path, draft)}: found {backend!r}; allowed are names of backends"
                    f"{did_you_mean(backend.lower(), sorted(known))}",
                )


def warnings(config: Config, draft: Draft) -> Iterator[str]:
    """What works, but perhaps not as it was meant."""
    yield from _strangers(config)
    for index, tenant in enumerate(config.tenants):
        path: Path = ("tenants", index)
        if (*path, "spill") in draft.origins and not tenant.backends:
            where = place((*path, "spill"), draft)
            yield f"{where} does nothing, since {tenant.name} has no backends of its own"
        closed = set(tenant.per_deployment or ()) - {name.lower() for name in tenant.deployments or ()}
        if tenant.deployments and closed:
            where = place((*path, "per_deployment"), draft)
            yield f"{where} limits {', '.join(sorted(closed))}, which {tenant.name} may not call"
    if not config.checks_callers and set(config.tenancy.sources) != {Source.CALLER}:
        yield (
            f"{place(('tenancy', 'sources'), draft)} trusts what requests say of themselves, and nobody checks who "
            "sends them: whoever reaches this address can spend any tenant's budget"
        )


def _strangers(config: Config) -> Iterator[str]:
    """Callers who may come in and then belong to nobody."""
    if not config.tenants or config.tenancy.default is not None or Source.CALLER not in config.tenancy.sources:
        return
    at_home = {tenant.name for tenant in config.tenants}
    at_home |= {caller.lower() for tenant in config.tenants for caller in tenant.callers or ()}
    for caller in sorted(_known_callers(config) - at_home):
        yield f"caller {caller} belongs to no tenant, so it is refused; name it under `callers:` of one"


def _known_callers(config: Config) -> set[str]:
    allowed = config.entra.allowed.values() if config.entra else ()
    return {client.name.lower() for client in config.clients} | {name.lower() for name in allowed}
