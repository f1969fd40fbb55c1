"""What the terminal shows of a balancer, drawn from its `/status` document and from nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

STYLES = {
    "available": "green",
    "returning": "cyan",
    "cooling": "yellow",
    "probation": "magenta",
    "ejected": "red",
    "misconfigured": "bold red",
    "taken out": "bold magenta",
}
ROOM_FOR_SPACE = 90
ROOM_FOR_BARS = 104
ROOM_FOR_REASONS = 130
"""Columns of a terminal from which on these fit beside the rest."""
BAR = 16


def backends_table(
    status: Mapping[str, Any], *, width: int = 80, names: Mapping[str, str] | None = None, stale: bool = False
) -> Table:
    """One line for each backend and deployment: how it is doing and what it did.

    `names` are shown in place of the backends' own; `stale` dims it all, for what may no longer be so.
    """
    rows: Sequence[Mapping[str, Any]] = status["backends"]
    bars, reasons = width >= ROOM_FOR_BARS, width >= ROOM_FOR_REASONS and any(row["reason"] for row in rows)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        padding=(0, 1 if width >= ROOM_FOR_SPACE else 0),
        style="dim" if stale else "",
    )
    for column in ("backend", "deployment", "state"):
        table.add_column(column, no_wrap=True)
    for column in ("in flight", "served", "throttled", "faults", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    for column, shown in (("", bars), ("why", reasons)):
        if shown:
            table.add_column(column, no_wrap=True)
    total = sum(row["served"] for row in rows) or 1
    for row in rows:
        cells = _cells(row, row["served"] / total, names or {})
        table.add_row(*cells[:8], *cells[8:9] * bars, *cells[9:] * reasons, style="dim" if stale else "")
    return table


def _cells(row: Mapping[str, Any], share: float, names: Mapping[str, str]) -> list[RenderableType]:
    return [
        Text(names.get(row["name"], row["name"])),
        Text(row["deployment"] or "-"),
        state("taken out" if row["out"] else row["state"], row["seconds_left"]),
        Text(str(row["in_flight"] or "-")),
        Text(f"{row['served']:,}"),
        _count(row["throttled"], "yellow"),
        _count(row["faulted"], "red"),
        Text(f"{share:.0%}"),
        share_bar(share),
        Text(row["reason"], style="dim"),
    ]


def state(name: str, seconds_left: float) -> Text:
    """A backend's state and the countdown to its return."""
    wait = f"{seconds_left:.{1 if seconds_left < 9.95 else 0}f} s" if seconds_left > 0 else ""
    return Text(f"{name:<9} {wait:>5}", style=STYLES.get(name, ""))


def share_bar(share: float) -> ProgressBar:
    """A part of the whole as a bar."""
    return ProgressBar(total=1.0, completed=share, width=BAR, complete_style="blue", finished_style="blue")


def _count(count: int, style: str) -> Text:
    return Text(f"{count:,}", style=style if count else "dim")


def totals(status: Mapping[str, Any]) -> Text:
    """One line: since when it runs, how it chooses, what it did."""
    requests = status["requests"]
    outcomes = ", ".join(f"{count:,} {name}" for name, count in sorted(requests["outcomes"].items()))
    parts = [
        f"lb {status['version']}",
        f"up {span(status['uptime_seconds'])}",
        status["policy"],
        _counted(status["connections"], "connection"),
        _counted(requests["finished"], "request") + (f" ({outcomes})" if outcomes else ""),
        f"{_counted(requests['throttled_absorbed'], '429')} absorbed",
    ]
    if status["waiting"]:
        parts.append(f"{status['waiting']:,} waiting")
    line = Text(" · ".join(parts), style="dim")
    return Text("draining · ", style="bold yellow") + line if status["draining"] else line


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def span(seconds: float) -> str:
    """A duration for eyes: 42 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    for unit, size, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} {int(seconds % size // part)} {smaller}"
    return f"{int(seconds)} s"
