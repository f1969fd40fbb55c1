"""What was measured, beside the bars of this project."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from bench.figures import Numbers

Results = dict[str, list[Numbers]]
"""By proxy: one set of figures for each repetition."""

ROWS = {
    "json": "JSON request, CPU us, saturated, 32 connections",
    "json rate": "  requests a second",
    "json busy": "  per cent of its core",
    "paced": "JSON request, CPU us, same rate for all",
    "paced p50": "  answered after, us, p50",
    "paced p99": "  answered after, us, p99",
    "traced": "  the same, a new traceparent in each",
    "event": "streamed event, CPU us, 400 streams",
    "event rate": "  events a second",
    "delay p50": "event delay, us, p50, 100 streams",
    "delay p99": "event delay, us, p99, 100 streams",
    "idle": "idle stream, KB of memory",
    "without 429": "JSON request, CPU us, 600 connections, same rate",
    "after 429": "  the same, meeting one 429 first",
    "met 429": "  per cent that met one",
    "failed": "requests that failed",
}


@dataclass(frozen=True)
class Bar:
    """A ratio, or a figure of ours, and what it has to reach."""

    name: str
    of: tuple[str, str]
    """Proxy, figure."""
    by: tuple[str, str] | None
    must: float
    reach: float
    at_least: bool = False

    def values(self, results: Results) -> list[float]:
        """One for each repetition, so that what disturbs the machine for a while disturbs both sides of a ratio."""
        over = values(results, *self.of)
        under = values(results, *self.by) if self.by else [1.0] * len(over)
        return [a / b for a, b in zip(over, under, strict=False) if b]

    def mark(self, value: float) -> str:
        """How it did."""

        def holds(bar: float) -> bool:
            return value >= bar if self.at_least else value <= bar

        return "reached" if holds(self.reach) else "pass" if holds(self.must) else "MISS"


BARS = (
    Bar("JSON request: lb / nginx", ("lb", "json"), ("nginx", "json"), 2.6, 1.6),
    Bar("JSON request: lb / Envoy", ("lb", "json"), ("envoy", "json"), 1.2, 0.75),
    Bar("streamed event: lb / nginx", ("lb", "event"), ("nginx", "event"), 1.4, 1.15),
    Bar("event delay p50: lb / nginx", ("lb", "delay p50"), ("nginx", "delay p50"), 1.3, 1.1),
    Bar("request after one 429 / plain", ("lb", "after 429"), ("lb", "without 429"), 2.2, 1.8),
    Bar("KB of memory per idle stream", ("lb", "idle"), None, 27, 10),
    Bar("idle stream's memory: lb / nginx", ("lb", "idle"), ("nginx", "idle"), 1.5, 1.0),
    Bar("JSON request: lb-tenants / lb", ("lb-tenants", "json"), ("lb", "json"), 1.3, 1.3),
    Bar("streamed event: lb-tenants / lb", ("lb-tenants", "event"), ("lb", "event"), 1.15, 1.15),
    Bar("JSON request: lb-traced-10 / lb", ("lb-traced-10", "json"), ("lb", "json"), 1.1, 1.1),
    Bar("JSON request: lb-traced-100 / lb", ("lb-traced-100", "json"), ("lb", "json"), 1.6, 1.6),
    Bar("JSON request: LiteLLM / lb", ("litellm", "json"), ("lb", "json"), 150, 400, at_least=True),
)


def lines(results: Results) -> Iterator[str]:
    """The whole table."""
    names = list(results)
    yield f"{'median (min..max)':50}" + "".join(f"{name:>24}" for name in names)
    for figure, says in ROWS.items():
        cells = [values(results, name, figure) for name in names]
        if any(cells):
            yield f"{says:50}" + "".join(f"{spread(cell):>24}" for cell in cells)
    yield ""
    yield f"{'ratio within each repetition':36}{'median (min..max)':>24}{'must':>9}{'reach':>9}  mark"
    for bar in BARS:
        found = bar.values(results)
        sign = ">=" if bar.at_least else "<="
        must, reach = f"{sign} {bar.must:g}", f"{sign} {bar.reach:g}"
        mark = bar.mark(statistics.median(found)) if found else "not measured"
        yield f"{bar.name:36}{spread(found):>24}{must:>9}{reach:>9}  {mark}"
    yield from _others(results)


def _others(results: Results) -> Iterator[str]:
    """What a request and an event cost beside ours, for those that have no bar."""
    barred = {bar.of for bar in BARS} | {(name, figure) for name in ("lb", "nginx", "envoy") for figure in ROWS}
    for name in results:
        for figure, says in (("json", "JSON request"), ("event", "streamed event")):
            bar = Bar(f"{says}: {name} / lb", (name, figure), ("lb", figure), 0, 0)
            if bar.of not in barred and (found := bar.values(results)):
                yield f"{bar.name:36}{spread(found):>24}"


def values(results: Results, proxy: str, figure: str) -> list[float]:
    """One for each repetition in which it was measured."""
    return [numbers[figure] for numbers in results.get(proxy, []) if figure in numbers]


def spread(found: list[float]) -> str:
    """Median, smallest and largest."""
    if not found:
        return "-"
    middle = _digits(statistics.median(found))
    return middle if len(found) == 1 else f"{middle} ({_digits(min(found))}..{_digits(max(found))})"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
