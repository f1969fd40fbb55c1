"""The tables of docs/performance.md, from what `python -m bench --json FILE` wrote.

python -m bench.markdown FILE nginx,envoy,lb,litellm,portkey
"""

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.table import BARS, ROWS, Results, spread, values

MARKS = {"MISS": "**missed**", "pass": "passed", "reached": "reached"}


def figures(results: Results) -> Iterator[str]:
    """One row for each figure."""
    yield f"| median (min..max) | {' | '.join(results)} |"
    yield "|---" * (len(results) + 1) + "|"
    for figure, says in ROWS.items():
        cells = [spread(values(results, name, figure)) for name in results]
        if set(cells) - {"-", "0 (0..0)"}:
            yield f"| {says.strip()} | {' | '.join(cells)} |"


def bars(results: Results) -> Iterator[str]:
    """One row for each bar that was measured."""
    yield "| ratio within each repetition | measured | must | reach for | |"
    yield "|---|---|---|---|---|"
    for bar in BARS:
        found = bar.values(results)
        sign = "≥" if bar.at_least else "≤"
        if found:
            mark = MARKS[bar.mark(statistics.median(found))]
            yield f"| {bar.name} | {spread(found)} | {sign} {bar.must:g} | {sign} {bar.reach:g} | {mark} |"


def main() -> None:
    """Command line."""
    measured: Results = json.loads(Path(sys.argv[1]).read_text())
    names = sys.argv[2].split(",") if len(sys.argv) > 2 else list(measured)
    results = {name: measured[name] for name in names}
    print("\n".join([*figures(results), "", *bars(results)]))


if __name__ == "__main__":
    main()
