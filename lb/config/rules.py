"""What must hold between settings, and what is allowed but worth a warning."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from lb.config import audit_rules, telemetry_rules, tenant_rules
from lb.config.address import is_excepted, is_loopback, is_wildcard
from lb.config.draft import Draft
from lb.config.model import BackendSection, ClientSection, Config
from lb.config.problems import place
from lb.config.settings import Path
from lb.config.values import size_text
from lb.extras import to_install

LONG_KEY = 16
"""Characters that an operator's key should have at least."""
Conflict = tuple[tuple[Path, ...], str]
"""The places that take part, and the line."""


def conflicts_in_draft(draft: Draft) -> Iterator[str]:
    """Rules that hold whatever the values are worth."""
    yield from tenant_rules.twice_named(draft)
    backends = draft.tree.get("backends")
    if not backends and not draft.is_broken(("backends",)):
        yield "BACKEND_1_URL: found no backend; allowed is at least one, here or under `backends:` in the file"
    if not isinstance(backends, list):
        return
    named: dict[str, int] = {}
    for index, backend in enumerate(backends):
        if not isinstance(backend, dict):
            continue
        path: Path = ("backends", index)
        if "deployments" in backend and "deployment_name" in backend:
            one, other = (place((*path, field), draft) for field in ("deployments", "deployment_name"))
            yield f"{one}: found together with {other}; allowed is one of the two"
        name: Any = backend.get("name")
        if isinstance(name, str) and named.setdefault(name.upper(), index) != index:
            first = place(("backends", named[name.upper()], "name"), draft)
            yield f"{place((*path, 'name'), draft)}: found {name[:64]!r}, which {first} is called; allowed is each once"


def conflicts(config: Config, draft: Draft) -> Iterator[Conflict]:
    """Rules between values that are good by themselves."""
    yield from _clients("clients", config.clients, draft)
    yield from _clients("operators", config.operators, draft)
    yield from _both_kinds(config, draft)
    yield from _ports(config, draft)
    yield from _replay(config, draft)
    yield from _plain_proxy(config, draft)
    yield from _tokenizer(config, draft)
    yield from tenant_rules.conflicts(config, draft)
    yield from audit_rules.conflicts(config, draft)
    yield from _redis(config, draft)
    yield from telemetry_rules.conflicts(config, draft)


def _both_kinds(config: Config, draft: Draft) -> Iterator[Conflict]:
    """A key that every client has must not switch backends off."""
    clients = config.client_keys()
    for index, operator in enumerate(config.operators):
        for name in {clients[key] for key in operator.keys if key in clients}:
            where = place(("operators", index), draft)
            yield (), f"{where}: found a key that the client {name!r} has, too; allowed is one of its own"


def _clients(section: str, clients: Sequence[ClientSection], draft: Draft) -> Iterator[Conflict]:
    owners: dict[bytes, str] = {}
    spelled: dict[str, str] = {}
    for index, client in enumerate(clients):
        where = place((section, index), draft)
        first = spelled.setdefault(client.name.lower(), client.name)
        if first != client.name:
            yield (
                (),
                f"{where}: found {client.name!r} beside {first!r}; allowed are names that differ in more than case",
            )
        for key in client.keys:
            if owners.setdefault(key, client.name) != client.name:
                yield (), f"{where}: found a key that {owners[key]!r} has, too; allowed is each key for one name"


def _ports(config: Config, draft: Draft) -> Iterator[Conflict]:
    listen, admin = config.listen, config.admin
    if listen.port and listen.port == admin.port and _overlap(listen.host, admin.host):
        involved = (("listen", "port"), ("admin", "port"), ("listen", "host"), ("admin", "host"))
        yield (
            involved,
            f"{place(('admin', 'port'), draft)}: found {admin.port}, which is {place(('listen', 'port'), draft)}, too; "
            "allowed is a port of its own, since operators and clients must not meet",
        )


def _tokenizer(config: Config, draft: Draft) -> Iterator[Conflict]:
    path = ("metrics", "tokenizer")
    if config.metrics.tokenizer and find_spec("bpe_openai") is None:
        yield (
            (path,),
            f"{place(path, draft)}: found true, and the tokenizer is missing; allowed is false, or to install it: "
            f"{to_install('tokenizer')}",
        )


def _overlap(one: str, other: str) -> bool:
    if one == other or is_wildcard(one) or is_wildcard(other):
        return True
    return is_loopback(one) and is_loopback(other) and "localhost" in (one.lower(), other.lower())


def _replay(config: Config, draft: Draft) -> Iterator[Conflict]:
    limits = config.limits
    one, of_one = limits.replay_max_bytes, "replay_max_bytes"
    if limits.replay_disk_bytes and limits.replay_disk_bytes < one:
        yield _too_small(draft, "replay_disk_bytes", limits.replay_disk_bytes, of_one, one, "0, or at least")
    if limits.replay_disk_bytes and limits.replay_memory_bytes < one:
        one, of_one = limits.replay_memory_bytes, "replay_memory_bytes"
    if limits.replay_total_bytes < one:
        yield _too_small(draft, "replay_total_bytes", limits.replay_total_bytes, of_one, one, "at least")


def _too_small(draft: Draft, field: str, found: int, other: str, least: int, allowed: str) -> Conflict:
    involved: tuple[Path, ...] = (("limits", field), ("limits", other))
    return involved, (
        f"{place(involved[0], draft)}: found {size_text(found)}; "
        f"allowed is {allowed} {place(involved[1], draft)}, which is {size_text(least)}"
    )


def _redis(config: Config, draft: Draft) -> Iterator[Conflict]:
    """The client is an extra, since most need none."""
    url, entra = ("redis", "url"), ("redis", "entra")
    if config.redis.url and find_spec("redis") is None:
        yield (
            (url,),
            f"{place(url, draft)}: found an address, but the Python package redis is not installed; "
            f"allowed is to leave it out, or to install it: {to_install('redis')}",
        )
    if config.redis.entra and not (config.redis.url or "").startswith("rediss:"):
        yield (
            (url, entra),
            f"{place(entra, draft)}: found true; allowed is that only with {place(url, draft)} as rediss://host:port, "
            "since a token must not go out in the clear",
        )


def _plain_proxy(config: Config, draft: Draft) -> Iterator[Conflict]:
    """A proxy for plain http is nothing that lb speaks, so it says so where one would have to be used."""
    if not config.platform.http_proxy:
        return
    for index, backend in enumerate(config.backends):
        if backend.url.startswith("http:") and not is_excepted(backend.url, config.platform.no_proxy):
            hostname = urlsplit(backend.url).hostname
            yield (
                (("platform", "no_proxy"),),
                f"{place(('platform', 'http_proxy'), draft)}: found a proxy that would stand before "
                f"{place(('backends', index, 'url'), draft)}; allowed are proxies before https:// backends only: "
                f"write https:// there, or add {hostname} to NO_PROXY",
            )


def _short_keys(config: Config, draft: Draft) -> Iterator[str]:
    """Sign-ins are not slowed down, so that a key must be long where strangers may try."""
    if config.admin_on_loopback:
        return
    for index, operator in enumerate(draft.tree.get("operators") or ()):
        keys = operator["keys"]
        if any(len(key) < LONG_KEY for key in (keys if isinstance(keys, list) else [keys])):
            yield (
                f"{place(('operators', index), draft)}: a key of fewer than {LONG_KEY} characters can be guessed by "
                "whoever reaches the operator listener; `openssl rand -base64 32` makes a long one"
            )


def warnings(config: Config, draft: Draft) -> Iterator[str]:
    """Lines for what works, but perhaps not as it was meant."""
    for section in draft.overruled:
        yield f"{section}: the environment replaces the file's whole section"
    if 0 < config.limits.http_timeout_seconds <= config.limits.first_event_seconds:
        first, idle = (place(("limits", f"{field}_seconds"), draft) for field in ("first_event", "http_timeout"))
        yield f"{first} is not below {idle}, so it never acts"
    yield from _short_keys(config, draft)
    yield from tenant_rules.warnings(config, draft)
    yield from audit_rules.warnings(config, draft)
    yield from telemetry_rules.warnings(config, draft)
    named = Counter(backend.url for backend in config.backends)
    for index, backend in enumerate(config.backends):
        at = partial(_of_backend, draft, index)
        if backend.url.startswith("http:") and not is_loopback(urlsplit(backend.url).hostname or ""):
            yield f"{at('url')} is not https://, so the credential and all prompts can be read on their way"
        if backend.api_key and ("backends", index, "scope") in draft.origins:
            yield f"{at('scope')} is for tokens and does nothing, since {at('api_key')} is set"
        if named[backend.url] > 1:
            yield from _twins(config, draft, index)


def _of_backend(draft: Draft, index: int, field: str) -> str:
    return place(("backends", index, field), draft)


def _twins(config: Config, draft: Draft, index: int) -> Iterator[str]:
    """One resource may stand there twice for different deployments; for the same ones it has only one quota."""
    backend = config.backends[index]
    for earlier, other in enumerate(config.backends[:index]):
        if backend.url == other.url and _share_a_deployment(backend, other):
            yield (
                f"{place(('backends', index, 'url'), draft)} is the same endpoint as "
                f"{place(('backends', earlier, 'url'), draft)} with the same deployments: "
                "Azure throttles both as one, so the second adds nothing"
            )


def _share_a_deployment(one: BackendSection, other: BackendSection) -> bool:
    served = [_served(one), _served(other)]
    return None in served or bool((served[0] or set()) & (served[1] or set()))


def _served(backend: BackendSection) -> set[str] | None:
    if backend.deployments:
        return set(backend.deployments.values())
    return {backend.deployment_name} if backend.deployment_name else None
