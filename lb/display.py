"""Tables for the terminal, drawn from the `/status` document and from nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

STYLES = {
    "available": "green",
    "returning": "cyan",
    "cooling": "yellow",
    "probation": "magenta",
    "ejected": "red",
    "misconfigured": "bold red",
}
BAR = 16


def backends_table(status: Mapping[str, Any], title: str | None = None) -> Table:
    """One line for each backend and deployment: how it is doing and what it did."""
    rows: Sequence[Mapping[str, Any]] = status["backends"]
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, expand=False
    )
    for column in ("backend", "deployment", "state", "back in"):
        table.add_column(column, no_wrap=True)
    for column in ("in flight", "served", "throttled", "faults"):
        table.add_column(column, justify="right")
    table.add_column("share", no_wrap=True)
    total = sum(row["served"] for row in rows) or 1
    for row in rows:
        table.add_row(*_cells(row, row["served"] / total))
    return table


def _cells(row: Mapping[str, Any], share: float) -> list[Text | str]:
    style = STYLES.get(row["state"], "")
    wait = f"{row['seconds_left']:.1f} s" if row["seconds_left"] > 0 else ""
    return [
        Text(row["name"]),
        row["deployment"] or "-",
        Text(row["state"], style=style),
        Text(wait, style=style),
        str(row["in_flight"] or "-"),
        str(row["served"]),
        Text(str(row["throttled"]), style="yellow" if row["throttled"] else "dim"),
        Text(str(row["faulted"]), style="red" if row["faulted"] else "dim"),
        Text("█" * round(share * BAR) + f" {share:.0%}", style="blue"),
    ]
