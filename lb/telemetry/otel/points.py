"""Metrics as OTLP has them, with OpenTelemetry's own data points and encoder: these are made once a minute, so that
their cost does not matter."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramPoints
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from lb.telemetry.families import BY_NAME, Family
from lb.telemetry.otel.measuring import Histogram, Measured
from lb.telemetry.tallies import Snapshot

_UNITS = (("_seconds", "s"), ("_bytes", "By"), ("_ratio", "1"))
_ALL = AggregationTemporality.CUMULATIVE


class Points:
    """Makes requests (`ExportMetricsServiceRequest`) of what was measured."""

    def __init__(
        self, resource: dict[str, str], scope: str, version: str, started: int, seconds: Sequence[float]
    ) -> None:
        """`started`: when counting began, in nanoseconds since 1970; `seconds`: the bounds of our own histograms."""
        self._resource = Resource(resource)
        self._scope = InstrumentationScope(scope, version)
        self._started = started
        self._seconds = seconds

    def encode(self, measured: Sequence[Measured], snapshot: Snapshot, now: int) -> bytes:
        """GenAI's metrics, then the balancer's own out of what `/metrics` shows."""
        metrics = [*self._genai(measured, now), *self._own(snapshot, now)]
        scopes = [ScopeMetrics(self._scope, metrics, "")]
        data = MetricsData([ResourceMetrics(self._resource, scopes, "")])
        return bytes(encode_metrics(data).SerializeToString())

    def _genai(self, measured: Sequence[Measured], now: int) -> Iterable[Metric]:
        for (name, unit), rows in groupby(sorted(measured, key=_name_and_unit), key=_name_and_unit):
            points = [self._histogram(attributes, histogram, now) for _, _, attributes, histogram in rows]
            points = [point for point in points if point.count]
            if points:
                yield Metric(name, "", unit, HistogramPoints(points, _ALL))

    def _own(self, snapshot: Snapshot, now: int) -> Iterable[Metric]:
        for name, rows in snapshot.items():
            family = BY_NAME.get(name)
            if family is not None and name.startswith("lb_") and rows:
                yield self._metric(family, rows, now)

    def _metric(self, family: Family, rows: list[list[Any]], now: int) -> Metric:
        name, unit = named(family.name)
        told = [(dict(zip(family.labels, labels, strict=True)), value) for *labels, value in rows]
        if family.kind == "histogram":
            histograms = [self._histogram(labels, _histogram(value, self._seconds), now) for labels, value in told]
            return Metric(name, family.help, unit, HistogramPoints(histograms, _ALL))
        points = [NumberDataPoint(labels, self._started, now, value) for labels, value in told]
        data = Gauge(points) if family.kind == "gauge" else Sum(points, _ALL, is_monotonic=True)
        return Metric(name, family.help, unit, data)

    def _histogram(self, attributes: dict[str, Any], histogram: Histogram, now: int) -> HistogramDataPoint:
        count = sum(histogram.counts)
        told = attributes, self._started, now, count, histogram.sum, histogram.counts, histogram.bounds
        return HistogramDataPoint(*told, None, None)  # type: ignore[arg-type] # smallest and largest may be left out


def named(family: str) -> tuple[str, str]:
    """A metric of `/metrics` as OpenTelemetry would call it, and its unit; translated to Prometheus it is called the
    same again: `lb_cooldown_seconds_total` is `lb.cooldown` in `s`."""
    name, unit = family.removesuffix("_total"), "1"
    for suffix, its in _UNITS:
        if name.endswith(suffix):
            name, unit = name.removesuffix(suffix), its
    return name.replace("lb_", "lb.", 1), unit


def _histogram(value: Sequence[float], bounds: Sequence[float]) -> Histogram:
    """A snapshot's: its counts and, last, its sum."""
    found = Histogram(bounds)
    found.counts, found.sum = [int(count) for count in value[:-1]], value[-1]
    return found


def _name_and_unit(measured: Measured) -> tuple[str, str]:
    return measured[0], measured[1]
