"""What each tenant asked for and got, the table of it, and what was not as it should be. Pure."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.table import Table
from rich.text import Text

from lb.demo.appetites import Appetite, in_short

_TOKENS = re.compile(r'^openai_total_tokens_total\{.*tenant_name="([^"]*)".*\} (\S+)$', re.MULTILINE)
_ENDED = re.compile(r"^lb_requests_total\{.*\} (\S+)$", re.MULTILINE)


@dataclass(slots=True)
class Plate:
    """One tenant's sums, counted at its client."""

    appetite: Appetite
    asked: int = 0
    served: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """429s by the budget that was used up."""
    wrongs: Counter[str] = field(default_factory=Counter)
    told: int = 0
    """Tokens that the balancer counted for it."""
    booked: int = 0
    """Tokens that the endpoints booked for it."""

    @property
    def is_hungry(self) -> bool:
        """It is to run into a budget, and has not yet."""
        return self.appetite.beyond is not None and not self.refused[self.appetite.beyond]


def read_tokens(metrics: str) -> dict[str, int]:
    """Tokens by tenant, from the text that Prometheus reads."""
    found: Counter[str] = Counter()
    for name, value in _TOKENS.findall(metrics):
        found[name] += round(float(value))
    return dict(found)


def read_ended(metrics: str) -> int:
    """Requests that have ended."""
    return round(sum(float(value) for value in _ENDED.findall(metrics)))


def booked_tokens(ledgers: Sequence[Sequence[Mapping[str, object]]]) -> dict[str, int]:
    """The same from the endpoints' own books."""
    found: Counter[str] = Counter()
    for rows in ledgers:
        for row in rows:
            found[str(row["tenant"])] += int(str(row["total"]))
    return dict(found)


def tenants_table(plates: Sequence[Plate], *, final: bool) -> Table:
    """One line for each tenant; with what was counted and booked once it is over."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("tenant", no_wrap=True)
    table.add_column("may use", no_wrap=True)
    for column in ("sent", "answered"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("429s by quota", justify="right", no_wrap=True)
    for column in ("told", "booked") if final else ():
        table.add_column(column, justify="right", no_wrap=True)
    for plate in plates:
        counted = (f"{plate.told:,}", f"{plate.booked:,}") if final else ()
        refused = ", ".join(f"{count:,} {in_short(limit)}" for limit, count in plate.refused.items())
        numbers = (f"{plate.asked:,}", f"{plate.served:,}", Text(refused or "0", style="yellow" if refused else ""))
        table.add_row(plate.appetite.name, plate.appetite.says(), *numbers, *counted)
    return table


def verdict(plates: Sequence[Plate]) -> list[str]:
    """What went wrong, in words; nothing when all is well."""
    wrongs = []
    for plate in plates:
        name, beyond = plate.appetite.name, plate.appetite.beyond
        wrongs += [f"{name}: {count} x {text}" for text, count in plate.wrongs.items()]
        if plate.told != plate.booked:
            wrongs.append(f"{name}: {plate.told:,} tokens were told, and the endpoints booked {plate.booked:,}")
        if not plate.served:
            wrongs.append(f"{name}: no request was answered")
        unfair = sum(count for limit, count in plate.refused.items() if limit != beyond)
        if unfair:
            wrongs.append(f"{name}: {unfair} refusals by {', '.join(plate.refused)}, of which it had enough")
        most = plate.appetite.limits.get("requests_per_minute")
        if most is not None and plate.served > most:
            wrongs.append(f"{name}: {plate.served} requests were served within a minute, of {most}")
        if plate.is_hungry:
            wrongs.append(f"{name}: it asked for more than its {beyond}, and was never refused")
    return wrongs


def judgement(wrongs: Sequence[str]) -> Text:
    """The last word."""
    if wrongs:
        return Text("\n".join(["Not as it should be:", *[f"  - {wrong}" for wrong in wrongs]]), style="bold red")
    return Text(
        "Who used up its budget was refused, nobody else was, and every token is in the books.", style="bold green"
    )
