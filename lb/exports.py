"""What a configuration wants of OpenTelemetry, put together. The packages for it are an extra: they are imported only
where something is to be exported."""

import os
import random
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from lb.config import Config
from lb.config.telemetry import TelemetrySection
from lb.events import Observer, Trace
from lb.exchange import Request
from lb.spine.watching import Watch
from lb.telemetry.otel.details import watch_details
from lb.telemetry.otel.encoding import Envelope
from lb.telemetry.otel.exporting import Carrier, Exporting, Pace, Say
from lb.telemetry.otel.sampling import Sampler
from lb.telemetry.otel.tracing import Tracing

if TYPE_CHECKING:
    from lb.telemetry.otel.otlp import Receiver

Clock = Callable[[], float]


class Exports:
    """What observes, what watches, and what has to be closed in the end."""

    def __init__(self) -> None:
        self.trace: Callable[[Request], Trace | None] | None = None
        self.observers: list[Observer] = []
        self.watches: list[Watch] = []
        self.running: list[Exporting] = []

    def rows(self) -> dict[str, list[list[Any]]]:
        """What became of what was recorded, for `/metrics`."""
        rows: dict[str, list[list[Any]]] = {}
        for exporting in self.running:
            for name, found in exporting.rows().items():
                rows.setdefault(name, []).extend(found)
        return rows

    def close(self, seconds: float) -> None:
        """Send what waits, within this time. Blocks."""
        for exporting in self.running:
            exporting.close(seconds / len(self.running))


def open_exports(config: Config, say: Say, wall: Clock, clock: Clock) -> Exports | None:
    """None where nothing is to be exported. It starts threads, so it must come after any fork."""
    telemetry = config.telemetry
    exports = Exports()
    carriers = _carriers(telemetry)
    if carriers:
        pace = Pace(telemetry.queue_size, telemetry.batch_size, telemetry.schedule_delay / 1000)
        exports.running = [Exporting(carrier, say, clock, pace) for carrier in carriers]
        rng = random.Random()  # noqa: S311 - a trace's id is no secret
        sampler = Sampler(telemetry.ratio, rng, by_parent=telemetry.by_parent)
        tracing = Tracing(sampler, exports.running, clock, wall, system=telemetry.genai_system)
        exports.trace = tracing.begin
        exports.observers.append(tracing)
        exports.watches.append(watch_details(clock))
    return exports if exports.observers else None


def resource(telemetry: TelemetrySection) -> dict[str, str]:
    """Who exports: each worker is an instance of its own."""
    return {
        "service.name": telemetry.service_name,
        "service.version": version("openai-lb"),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        "host.name": socket.gethostname(),
        **(telemetry.resource_attributes or {}),
    }


def _carriers(telemetry: TelemetrySection) -> Sequence[Carrier]:
    found: list[Carrier] = []
    if telemetry.otlp_traces:
        from lb.telemetry.otel.otlp import OtlpTraces, sender

        envelope = Envelope(resource(telemetry).items(), "openai-lb", version("openai-lb"))
        found.append(OtlpTraces(sender(receiver(telemetry, "traces"), "traces"), envelope))
    return found


def receiver(telemetry: TelemetrySection, signal: Literal["traces", "metrics"]) -> "Receiver":
    """Where a signal goes, and how."""
    from lb.telemetry.otel.otlp import Receiver

    return Receiver(
        telemetry.url(signal),
        telemetry.protocol == "grpc",
        telemetry.header_pairs(),
        telemetry.timeout,
        telemetry.compression == "gzip",
        telemetry.insecure,
        telemetry.certificate,
        telemetry.client_certificate,
        telemetry.client_key,
    )
