"""How tenants' budgets stand at the moment, as rows of a snapshot."""

from collections.abc import Mapping, Sequence
from typing import Any

from lb.metering.budget import Standing
from lb.telemetry.names import Names

ALL = "all"
"""The deployment of a budget that holds for all of them together."""


def standing_rows(overview: Mapping[str, Sequence[Standing]], tenants: Names) -> dict[str, list[list[Any]]]:
    """Two rows for each budget. Their number is the configuration's, as far as there are labels for tenants."""
    shown: dict[str, list[list[Any]]] = {}
    for tenant, standings in overview.items():
        for standing in standings:
            labels = [tenants.admit(tenant), (standing.deployment or ALL).lower(), standing.name]
            shown.setdefault("lb_quota_limit", []).append([*labels, standing.limit])
            shown.setdefault("lb_quota_used", []).append([*labels, standing.used])
    return shown
