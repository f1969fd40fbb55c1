"""One snapshot out of those of several workers. Pure."""

from collections.abc import Sequence
from typing import Any

from lb.telemetry.families import BY_NAME
from lb.telemetry.tallies import Snapshot


def joined(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Counters and histograms added up, gauges by their family's rule; rows of the same labels become one."""
    values: dict[str, dict[tuple[str, ...], Any]] = {}
    for snapshot in snapshots:
        for name, rows in snapshot.items():
            family = BY_NAME.get(name)
            if family is None:
                continue  # of a worker of another version, while they are being replaced
            known = values.setdefault(name, {})
            for *labels, value in rows:
                key = tuple(labels)
                known[key] = _both(family.join, known[key], value) if key in known else value
    return {name: [[*labels, value] for labels, value in rows.items()] for name, rows in values.items()}


def left_behind(snapshot: Snapshot) -> Snapshot:
    """What remains of a worker that died: what it counted, but nothing that was so at the moment."""
    return {name: rows for name, rows in snapshot.items() if name in BY_NAME and BY_NAME[name].kind != "gauge"}


def _both(join: str, one: Any, other: Any) -> Any:
    if isinstance(one, list):
        if len(one) != len(other):
            return other  # the buckets were changed by a reload
        return [left + right for left, right in zip(one, other, strict=True)]
    if join == "sum":
        return one + other
    if join == "any":
        return one
    return max(one, other) if join == "max" else min(one, other)
