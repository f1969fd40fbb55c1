"""What the configuration makes of each part by itself: `lb.app` puts the parts together."""

import time
from functools import partial
from tempfile import gettempdir

from lb.admin.door import Door
from lb.config import Config
from lb.spine.unasked import AskForUsage
from lb.spine.watching import Watch, watch_cost
from lb.telemetry.exposition import Exposition
from lb.telemetry.log import Logs
from lb.telemetry.tokenizer import Recounting, exact
from lb.usage.entering import Entering
from lb.usage.store import Store
from lb.wire.hub import Limits
from lb.wire.tunnel import Proxy

wall = time.time  # noqa: TID251 - the one wall clock: dates in log lines and tokens
clock = time.monotonic  # noqa: TID251 - the one clock for deadlines; system-wide, so that workers can share them


def proxy_of(config: Config) -> Proxy | None:
    """What stands between us and backends, where anything does."""
    address = config.platform.https_proxy
    return Proxy.parse(address, ",".join(config.platform.no_proxy)) if address else None


def deployment_names(config: Config) -> list[str]:
    """The deployments that are configured by name, as callers and as backends call them."""
    backends = config.domain_backends()
    named = {name for backend in backends for pair in (backend.deployments or {}).items() for name in pair}
    return sorted(named | {backend.deployment_name for backend in backends if backend.deployment_name})


def door(config: Config) -> Door:
    """Who may look and act at the operator listener."""
    return Door(config.operator_keys(), clock, loopback=config.admin_on_loopback)


def exposition(config: Config) -> Exposition:
    """Renders snapshots in the buckets of this configuration."""
    return Exposition(seconds=config.metrics.second_buckets, tokens=config.metrics.token_buckets)


def watches_of(config: Config) -> list[Watch]:
    """Who looks at replies for what they cost: nobody, unless somebody wants to know."""
    metrics = config.metrics
    asked = metrics.usage or metrics.include_usage or metrics.tokenizer
    elsewhere = config.usage.store is not None or config.audit.to != "off" or config.telemetry.otlp_metrics
    if not (asked or config.tenants or elsewhere):
        return []
    return [partial(watch_cost, keep=True) if metrics.tokenizer else watch_cost]


def ask_for_usage(config: Config) -> AskForUsage | None:
    """Has backends tell what streams cost, where that is wanted for anybody."""
    always = config.metrics.include_usage
    wanted = always or any(tenant.include_usage for tenant in config.tenants)
    return AskForUsage(always=always) if wanted else None


def usage_store(config: Config, logs: Logs) -> Entering | None:
    """Keeps what was used in a file, where that is wanted."""
    path = config.usage.store
    return Entering(Store(path), wall, logs.say, keep_days=config.usage.keep_days) if path is not None else None


def tokenizer(wanted: bool) -> Recounting | None:
    """Counts again what was estimated, where that is wanted. Raises ImportError where the package is missing."""
    return Recounting(exact()) if wanted else None


def _temporary_directory() -> str | None:
    """The system's, by TMPDIR; None where there is none to write in."""
    try:
        return gettempdir()
    except FileNotFoundError:
        return None


def transport_settings(config: Config) -> tuple[object, ...]:
    """Where these differ, connections to backends are made anew."""
    return config.limits.http_timeout_seconds, config.limits.connect_seconds, config.platform


def limits_of(config: Config) -> Limits:
    """What clients may take."""
    limits = config.limits
    directory = limits.replay_directory or _temporary_directory()
    return Limits(
        replay_max=limits.replay_max_bytes,
        kept_max=limits.replay_total_bytes,
        memory_max=limits.replay_memory_bytes,
        disk_max=limits.replay_disk_bytes if directory else 0,
        directory=directory or "",
        keepalive_seconds=limits.sse_keepalive_seconds,
        ping_seconds=limits.websocket_ping_seconds,
    )
