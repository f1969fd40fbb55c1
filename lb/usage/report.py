"""`lb usage`: what was used, by whatever is asked for, as a table, CSV or JSON."""

import csv
import json
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lb.usage.store import Unusable, read
from lb.usage.sums import COUNTS, Key, Sums

CANNOT_READ = 1
FIRST, LAST = "0000-01-01", "9999-12-31"
_SHOWN = ("requests", "prompt", "completion", "total", "cached", "reasoning", "estimated", "unknown")
_WIDTH_WITHOUT_TERMINAL = 200


class Line(Sums):
    """A line of the report: sums, and how much of them is not from a backend's own count."""

    __slots__ = ("estimated", "unknown")

    def __init__(self) -> None:
        super().__init__()
        self.estimated = 0
        """Of `total`, tokens that were counted here."""
        self.unknown = 0
        """Of `requests`, those whose cost nobody knows."""

    def enter(self, key: Key, sums: Sums) -> None:
        """One row of the store."""
        self.merge(sums)
        if key.source == "estimated":
            self.estimated += sums.total
        elif key.source == "unknown":
            self.unknown += sums.requests


def grouped(rows: Iterable[tuple[Key, Sums]], by: Sequence[str]) -> dict[tuple[str, ...], Line]:
    """Rows that are alike in `by`, added up, in the order of those names."""
    lines: dict[tuple[str, ...], Line] = {}
    for key, sums in rows:
        group = tuple(str(getattr(key, name)) for name in by)
        lines.setdefault(group, Line()).enter(key, sums)
    return dict(sorted(lines.items()))


def show(
    stores: Sequence[str],
    by: Sequence[str],
    form: str,
    out: TextIO,
    errors: TextIO,
    *,
    since: str | None = None,
    until: str | None = None,
) -> int:
    """Print the report of these stores together, of the days from `since` to `until`. Returns the exit code."""
    try:
        rows = [row for store in stores for row in read(store, since or FIRST, until or LAST)]
    except Unusable as problem:
        print(f"lb: {problem}", file=errors)
        return CANNOT_READ
    lines, total = grouped(rows, by), grouped(rows, ()).get((), Line())
    {"table": _table, "csv": _csv, "json": _json}[form](lines, total, by, out)
    return 0


def _table(lines: dict[tuple[str, ...], Line], total: Line, by: Sequence[str], out: TextIO) -> None:
    console = Console(file=out, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    table = Table(box=None, pad_edge=False, show_footer=bool(by))
    for place, name in enumerate(by):
        table.add_column(name, footer="all" if place == 0 else "", overflow="fold")
    for name in _SHOWN:
        table.add_column(name, justify="right", footer=f"{getattr(total, name):,}")
    for group, line in lines.items():
        table.add_row(*map(Text, group), *(f"{getattr(line, name):,}" for name in _SHOWN))
    console.print(table)


def _csv(lines: dict[tuple[str, ...], Line], total: Line, by: Sequence[str], out: TextIO) -> None:
    """Without the sum of all, which a spreadsheet would add once more."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*by, *COUNTS, "estimated", "unknown"])
    for group, line in lines.items():
        writer.writerow([*map(_harmless, group), *_values(line).values()])


def _json(lines: dict[tuple[str, ...], Line], total: Line, by: Sequence[str], out: TextIO) -> None:
    rows = [dict(zip(by, group, strict=True)) | _values(line) for group, line in lines.items()]
    print(json.dumps({"by": list(by), "rows": rows, "all": _values(total)}, indent=2), file=out)


def _values(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in (*COUNTS, "estimated", "unknown")}


def _harmless(name: str) -> str:
    """Deployments are named by clients, and a spreadsheet takes what begins so for a formula."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
