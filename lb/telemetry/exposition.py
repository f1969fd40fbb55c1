"""Snapshots as the text that Prometheus reads, at the moment when it asks."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from lb.telemetry.families import FAMILIES, Family
from lb.telemetry.joining import joined
from lb.telemetry.metrics import SECONDS, TOKENS
from lb.telemetry.tallies import Snapshot


class Exposition:
    """Renders with the buckets that the snapshots were counted in."""

    def __init__(self, *, seconds: Sequence[float] = SECONDS, tokens: Sequence[float] = TOKENS) -> None:
        self._buckets = {"seconds": tuple(seconds), "tokens": tuple(tokens)}

    def render(self, snapshots: Sequence[Snapshot]) -> bytes:
        """One text for all workers. At least one snapshot is needed."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(self._metrics(joined(snapshots))))
        return generate_latest(registry)

    def _metrics(self, snapshot: Snapshot) -> Iterator[Metric]:
        for family in FAMILIES:
            rows = snapshot.get(family.name)
            if rows:
                yield self._metric(family, rows)

    def _metric(self, family: Family, rows: Iterable[list[object]]) -> Metric:
        if family.kind == "histogram":
            return self._histogram(family, rows)
        kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        metric = kind(family.name, family.help, labels=family.labels)
        for *labels, value in rows:
            metric.add_metric([str(label) for label in labels], float(str(value)))
        return metric

    def _histogram(self, family: Family, rows: Iterable[list[object]]) -> Metric:
        metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        bounds = [*map(_bound, self._buckets[family.buckets or "seconds"]), "+Inf"]
        for *labels, told in rows:
            assert isinstance(told, list)  # noqa: S101 - for the type checker
            *counts, total = told
            if len(counts) != len(bounds):
                continue  # counted in buckets of before a reload
            running, buckets = 0.0, []
            for bound, count in zip(bounds, counts, strict=True):
                running += count
                buckets.append((bound, running))
            metric.add_metric([str(label) for label in labels], buckets, total)
        return metric


class _Collected:
    """Hands metrics to a registry."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _bound(value: float) -> str:
    return repr(float(value))
