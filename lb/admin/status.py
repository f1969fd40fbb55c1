"""`/status`: the health table, the totals and what just happened, as JSON with a versioned schema.

docs/status.md says what each field means, and `status.schema.json` holds it; it is served, too.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from lb.balancing.snapshot import Row
from lb.metering.budget import Standing

SCHEMA = 1
"""Raised when a field changes its meaning or goes; new fields may come at any time."""


SCHEMA_TEXT = files("lb.admin").joinpath("status.schema.json").read_bytes()

Overview = Callable[[], Awaitable[dict[str, Any]]]
"""Gives the document that `/status` answers with: of this process, or of all workers together."""


def document(
    *,
    version: str,
    uptime: float,
    draining: bool,
    policy: str,
    connections: int,
    requests: Mapping[str, Any],
    rows: Iterable[Row],
    standings: Mapping[str, Any],
    rates: Mapping[str, Any],
    recent: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The whole document. Times are seconds."""
    return {
        "schema": SCHEMA,
        "version": version,
        "uptime_seconds": round(uptime, 3),
        "draining": draining,
        "policy": policy,
        "connections": connections,
        "requests": requests,
        "waiting": standings["waiting"],
        "backends": [_backend(row) for row in rows],
        "rates": rates,
        "tenants": standings["tenants"],
        "recent": recent,
    }


def standings_document(waiting: Mapping[str, int], overview: Mapping[str, Sequence[Standing]]) -> dict[str, Any]:
    """How many requests wait, and what each tenant has used of its budgets."""
    return {
        "waiting": sum(waiting.values()),
        "tenants": [
            {"name": name, "waiting": waiting.get(name, 0), "budgets": [_budget(standing) for standing in standings]}
            for name, standings in overview.items()
        ],
    }


def _budget(standing: Standing) -> dict[str, Any]:
    return {
        "limit": standing.name,
        "deployment": standing.deployment,
        "allowed": standing.limit,
        "used": standing.used,
        "remaining": standing.remaining,
        "reset_seconds": round(standing.reset, 3),
    }


def _backend(row: Row) -> dict[str, Any]:
    return {
        "name": row.backend.name,
        "url": row.backend.url,
        "priority": row.backend.priority,
        "weight": row.backend.weight,
        "deployment": row.deployment,
        "out": row.out,
        "state": row.state,
        "seconds_left": round(max(0.0, row.seconds), 3),
        "reason": row.reason,
        "strikes": row.strikes,
        "in_flight": row.in_flight,
        "served": row.served,
        "throttled": row.throttled,
        "faulted": row.faulted,
        "headroom": row.headroom,
    }
