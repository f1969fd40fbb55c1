"""What is believed of the backends at the moment, as rows of a snapshot."""

from collections.abc import Iterable
from typing import Any

from lb.balancing.snapshot import Row
from lb.telemetry.names import OTHER, Names

AVAILABLE = ("available", "returning", "probation")


def belief_rows(rows: Iterable[Row], deployments: Names) -> dict[str, list[list[Any]]]:
    """Only of deployments that have a label: the health table also remembers names that nobody serves."""
    shown: dict[str, list[list[Any]]] = {}
    for row in rows:
        label = deployments.label(row.deployment)
        if label == OTHER:
            continue
        facts: dict[str, float | None] = {
            "lb_backend_available": int(row.state in AVAILABLE and not row.out),
            "lb_backend_misconfigured": int(row.state == "misconfigured"),
            "lb_backend_in_flight": row.in_flight,
            "lb_backend_absence_seconds": round(max(0.0, row.seconds), 3),
            "lb_backend_headroom_ratio": row.headroom,
        }
        for name, value in facts.items():
            if value is not None:
                shown.setdefault(name, []).append([row.backend.name, label, value])
    return shown
