"""What a configuration wants of OpenTelemetry, put together. The packages for it are an extra: they are imported only
where something is to be exported."""

import asyncio
import os
import random
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from lb.audit.answers import answer_of, answer_of_stream
from lb.audit.prompts import turns_of
from lb.config import Config
from lb.config.telemetry import TelemetrySection, parts_of
from lb.events import Trace
from lb.exchange import Request
from lb.spine.watching import Watch
from lb.telemetry.otel.content import Reading, watch_content
from lb.telemetry.otel.conventions import SCOPE
from lb.telemetry.otel.details import watch_details
from lb.telemetry.otel.encoding import Envelope
from lb.telemetry.otel.exporting import Carrier, Exporting, Pace, Say
from lb.telemetry.otel.measuring import Measuring
from lb.telemetry.otel.sampling import Sampler
from lb.telemetry.otel.tracing import Tracing
from lb.telemetry.tallies import Snapshot

if TYPE_CHECKING:
    from lb.telemetry.otel.otlp import Receiver
    from lb.telemetry.otel.reporting import Reporting

Clock = Callable[[], float]


class Exports:
    """What records, what watches, and what has to be closed in the end."""

    def __init__(self, config: Config, say: Say, wall: Clock, clock: Clock) -> None:
        """Starts threads, so it must come after any fork."""
        self._config = config
        self._say = say
        self._wall = wall
        self._clock = clock
        self.trace: Callable[[Request], Trace | None] | None = None
        self.watches: list[Watch] = []
        """Of any reply."""
        self.recorded_watches: list[Watch] = []
        """Of replies to requests that are recorded."""
        self._running = self._open_traces(config)
        self._measuring = self._open_metrics(config) if config.telemetry.otlp_metrics else None
        self._reporting: Reporting | None = None

    def start(self, read: Callable[[], Snapshot]) -> None:
        """Begin to report metrics; `read` gives the balancer's own."""
        if self._measuring is not None:
            self._reporting = self._open_reports(self._measuring, read)
            self._reporting.start(self._config.telemetry.metric_interval / 1000)

    def replace(self, config: Config) -> None:
        """Other backends may answer from now on."""
        if self._measuring is not None:
            self._measuring.replace(config.domain_backends())

    def rows(self) -> Snapshot:
        """What became of what was recorded, for `/metrics`."""
        rows: Snapshot = {}
        for exporting in self._running:
            for name, found in exporting.rows().items():
                rows.setdefault(name, []).extend(found)
        return rows

    async def close(self, seconds: float) -> None:
        """Send what waits, within this time. Idempotent."""
        closing = [asyncio.to_thread(exporting.close, seconds) for exporting in self._running]
        if self._reporting is not None:
            closing.append(self._reporting.close(seconds))
        await asyncio.gather(*closing)

    def _open_traces(self, config: Config) -> list[Exporting]:
        telemetry = config.telemetry
        carriers = _carriers(config)
        if not carriers:
            return []
        pace = Pace(telemetry.queue_size, telemetry.batch_size, telemetry.schedule_delay / 1000)
        running = [Exporting(carrier, self._say, self._clock, pace) for carrier in carriers]
        rng = random.Random()  # noqa: S311 - a trace's id is no secret
        sampler = Sampler(telemetry.ratio, rng, by_parent=telemetry.by_parent)
        tracing = Tracing(sampler, running, self._clock, self._wall, system=telemetry.genai_system)
        self.trace = tracing.begin
        self.recorded_watches.append(watch_details(self._clock))
        wanted = telemetry.capture_content
        if wanted != "no_content":
            on_span, as_event = wanted != "event_only", wanted != "span_only"
            reading = Reading(turns_of, answer_of, answer_of_stream)
            self.recorded_watches.append(watch_content(reading, on_span=on_span, as_event=as_event))
        return running

    def _open_metrics(self, config: Config) -> Measuring:
        backends = config.domain_backends()
        named = {name for backend in backends for name in backend.deployments or ()}
        measuring = Measuring(self._clock, sorted(named), backends)
        self.watches.append(measuring.watch)
        return measuring

    def _open_reports(self, measuring: Measuring, read: Callable[[], Snapshot]) -> "Reporting":
        from lb.telemetry.otel.otlp import OtlpMetrics, sender
        from lb.telemetry.otel.points import Points
        from lb.telemetry.otel.reporting import Reporting

        telemetry, started = self._config.telemetry, int(self._wall() * 1e9)
        bounds = self._config.metrics.second_buckets
        points = Points(resource(telemetry), SCOPE, version("openai-lb"), started, bounds)
        send = OtlpMetrics(sender(receiver(self._config, "metrics"), "metrics"))
        return Reporting(measuring, read, points, send, self._wall, self._say)


def open_exports(config: Config, say: Say, wall: Clock, clock: Clock) -> Exports | None:
    """None where nothing is to be exported."""
    telemetry = config.telemetry
    wanted = telemetry.otlp_traces or telemetry.otlp_metrics or telemetry.azure_traces
    return Exports(config, say, wall, clock) if wanted else None


def resource(telemetry: TelemetrySection) -> dict[str, str]:
    """Who exports: each worker is an instance of its own."""
    return {
        "service.name": telemetry.service_name,
        "service.version": version("openai-lb"),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        "host.name": socket.gethostname(),
        **(telemetry.resource_attributes or {}),
    }


def _carriers(config: Config) -> Sequence[Carrier]:
    telemetry = config.telemetry
    found: list[Carrier] = []
    if telemetry.otlp_traces:
        from lb.telemetry.otel.otlp import OtlpTraces, sender

        envelope = Envelope(resource(telemetry).items(), SCOPE, version("openai-lb"))
        found.append(OtlpTraces(sender(receiver(config, "traces"), "traces"), envelope))
    if telemetry.azure_traces and telemetry.connection_string is not None:
        from lb.telemetry.otel.azure import AzureTraces

        said = parts_of(telemetry.authentication or "")
        found.append(
            AzureTraces(
                telemetry.connection_string.get_secret_value(),
                resource(telemetry),
                version("openai-lb"),
                timeout=telemetry.timeout,
                identity=bool(said),
                client_id=said.get("clientid") or config.platform.azure_client_id,
            )
        )
    return found


def receiver(config: Config, signal: Literal["traces", "metrics"]) -> "Receiver":
    """Where a signal goes, and how."""
    from lb.telemetry.otel.otlp import Receiver

    telemetry = config.telemetry
    url = telemetry.url(signal)
    return Receiver(
        url,
        telemetry.protocol == "grpc",
        telemetry.header_pairs(),
        telemetry.timeout,
        telemetry.compression == "gzip",
        telemetry.insecure,
        telemetry.certificate,
        telemetry.client_certificate,
        telemetry.client_key,
        config.proxy_for(url),
    )
