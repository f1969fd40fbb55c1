"""One `/status` document out of those of several workers. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

ABSENCES = ("misconfigured", "ejected", "probation", "cooling", "returning", "available")
"""The table is one, so workers differ only for the moment that news takes: then who knows of an absence is right."""
_RECENT = 100
_CHARTS = ("requests", "tokens")
_SUMMED = ("in_flight", "served", "throttled", "faulted")

Document = Mapping[str, Any]


def merged(documents: Sequence[Document], departed: Sequence[Document] = ()) -> dict[str, Any]:
    """The sum of all. `departed` are the last documents of workers that died: what they counted still counts.

    At least one document is needed; the first gives what is the same everywhere.
    """
    everybody = [*documents, *departed]
    first = everybody[0]
    return {
        **first,
        "uptime_seconds": max(document["uptime_seconds"] for document in everybody),
        "draining": any(document["draining"] for document in documents),
        "connections": sum(document["connections"] for document in documents),
        "requests": summed([document["requests"] for document in everybody]),
        "waiting": sum(document["waiting"] for document in documents),
        "backends": _rows(documents, departed),
        "rates": _rates([document["rates"] for document in documents] or [first["rates"]]),
        "tenants": _tenants(documents or [first]),
        "recent": _recent(everybody),
    }


def left_behind(document: Document) -> dict[str, Any]:
    """What remains of a worker that died: counts, but nothing that was under way, and no belief."""
    rows = [{**row, "in_flight": 0} for row in document["backends"]]
    return {**document, "connections": 0, "waiting": 0, "tenants": [], "backends": rows}


def _rates(parts: Sequence[Document]) -> dict[str, Any]:
    """Added up step by step; a worker that is a step behind is moved so that its steps fall on those of the others."""
    last = max(part["last_step"] for part in parts)
    names = list(dict.fromkeys(row["name"] for part in parts for row in part["backends"]))
    found = []
    for name in names:
        rows = [(last - part["last_step"], row) for part in parts for row in part["backends"] if row["name"] == name]
        told = {what: [_moved(row[what], late) for late, row in rows if row[what] is not None] for what in _CHARTS}
        found.append(
            {"name": name} | {what: [sum(step) for step in zip(*told[what], strict=True)] or None for what in _CHARTS}
        )
    return {**parts[0], "last_step": last, "backends": found}


def _moved(steps: list[int], late: int) -> list[int]:
    return [*steps[late:], *[0] * min(late, len(steps))]


def _tenants(documents: Sequence[Document]) -> list[dict[str, Any]]:
    """Budgets are shared, so all tell the same of them; what waits adds up."""
    waiting: Counter[str] = Counter()
    for document in documents:
        waiting.update({tenant["name"]: tenant["waiting"] for tenant in document["tenants"]})
    told = max((document["tenants"] for document in documents), key=len)  # one may be from before it was asked
    return [{**tenant, "waiting": waiting[tenant["name"]]} for tenant in told]


def _recent(documents: Sequence[Document]) -> list[Any]:
    """The newest of all; of those that went straight through and of the others as many as one worker keeps."""
    newest = sorted([one for document in documents for one in document["recent"]], key=lambda one: -one["at"])
    kept: Counter[bool] = Counter()
    found = []
    for one in newest:
        straight = one["outcome"] == "relayed" and len(one["attempts"]) == 1 and one["status"] < 400
        kept[straight] += 1
        if kept[straight] <= _RECENT:
            found.append(one)
    return found


def summed(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers of the same name added up, in nested mappings, too."""
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, Mapping):
                total[name] = summed([total.get(name, {}), value])
            else:
                total[name] = total.get(name, 0) + value
    return total


def _rows(documents: Sequence[Document], departed: Sequence[Document]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    for document in documents:
        for row in document["backends"]:
            key = row["name"], row["url"], row["deployment"]
            rows[key] = _joined(rows[key], row) if key in rows else dict(row)
    configured = {(name, url) for name, url, _ in rows}
    for document in departed:
        for row in document["backends"]:
            key = row["name"], row["url"], row["deployment"]
            known = rows.get(key)
            if known is not None:
                known.update({name: known[name] + row[name] for name in _SUMMED})
            elif (row["name"], row["url"]) in configured or not documents:
                rows[key] = {**row, "state": "available", "seconds_left": 0.0, "reason": "", "strikes": 0}
    return _asked(rows.values())


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    tells, agrees = sorted((one, other), key=lambda row: (ABSENCES.index(row["state"]), -row["seconds_left"]))
    reason = tells["reason"] or (agrees["reason"] if agrees["state"] == tells["state"] else "")
    known = [row["headroom"] for row in (one, other) if row["headroom"] is not None]
    return {
        **tells,
        "reason": reason,
        "strikes": max(one["strikes"], other["strikes"]),
        "headroom": min(known, default=None),
        **{name: one[name] + other[name] for name in _SUMMED},
    }


def _asked(rows: Any) -> list[dict[str, Any]]:
    """Without the empty row of a backend that some worker has not asked yet, where another has."""
    found = list(rows)
    asked = {(row["name"], row["url"]) for row in found if row["deployment"] is not None}
    kept = [
        row
        for row in found
        if row["deployment"] is not None or (row["name"], row["url"]) not in asked or any(row[name] for name in _SUMMED)
    ]
    return sorted(kept, key=lambda row: (row["priority"], row["name"], row["deployment"] or ""))
