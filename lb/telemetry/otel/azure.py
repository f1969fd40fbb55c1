"""Brings spans to Application Insights, with Microsoft's own exporter.

It takes spans of the SDK, which are made here in the exporting thread. Measured on the 2-core development machine: 530
us of CPU for the two spans of one request, where OTLP takes 12. Without sampling that is several requests' worth.
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from azure.core.pipeline.policies import RetryPolicy
from azure.identity import DefaultAzureCredential
from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from lb.telemetry.otel import conventions as names
from lb.telemetry.otel.exporting import Unsent
from lb.telemetry.otel.spans import SERVER, Span

_SWITCHES: Final = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED",
)
"""What the exporter tells about itself to Microsoft, and asks there, unless its own variables forbid it."""
_SWITCH_SECONDS: Final = 0.0005
"""How long the event loop waits for the interpreter while the exporter computes; by default it is 5 ms, for each event
that is relayed meanwhile."""
_LOGGER: Final = "azure.monitor.opentelemetry.exporter"
_WHAT: Final = 200


class AzureTraces:
    """A `Carrier` of spans."""

    name = "azure"

    def __init__(
        self, connection_string: str, resource: Mapping[str, str], version: str, *, timeout: float, identity: bool,
        client_id: str | None,
    ) -> None:  # fmt: skip
        """`identity`: with a token of Microsoft Entra; `client_id` says of which user-assigned identity."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        for switch in _SWITCHES:
            os.environ.setdefault(switch, "true")  # noqa: TID251 - the exporter has no other way to be told
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope(names.SCOPE, version)
        self._said = _LastWords()
        self._credential = DefaultAzureCredential(managed_identity_client_id=client_id) if identity else None
        self._exporter = AzureMonitorTraceExporter(
            connection_string=connection_string,
            credential=self._credential,
            tracer_provider=TracerProvider(resource=self._resource),
            disable_offline_storage=True,  # what waits is bounded and counted here; nothing is left on a disk
            max_envelopes_per_second=0,
            retry_policy=RetryPolicy(retry_total=2, retry_backoff_max=4),
            timeout=timeout,
        )

    def prepare(self, spans: Sequence[Span]) -> Sequence[Span]:
        return spans

    def send(self, batch: Sequence[Sequence[Span]]) -> int:
        self._said.text = ""
        told = [self._readable(span) for spans in batch for span in spans]
        if self._exporter.export(told) is not SpanExportResult.SUCCESS:
            raise Unsent(self._said.text or "Application Insights did not take them")
        return 0

    def close(self) -> None:
        self._exporter.shutdown()
        if self._credential is not None:
            self._credential.close()
        self._said.let_go()

    def _readable(self, span: Span) -> ReadableSpan:
        state = TraceState.from_header([span.state]) if span.state else None
        trace_id, parent_id = int.from_bytes(span.trace_id), int.from_bytes(span.parent_id)
        sampled = TraceFlags(TraceFlags.SAMPLED)
        attributes = dict([*span.fixed.pairs, *span.pairs])
        provider = attributes.get(names.PROVIDER)
        if provider is not None:
            attributes[names.SYSTEM] = names.SYSTEMS[str(provider)]
        return ReadableSpan(
            span.fixed.name,
            SpanContext(trace_id, int.from_bytes(span.span_id), False, sampled, state),
            SpanContext(trace_id, parent_id, span.remote, sampled, state) if parent_id else None,
            self._resource,
            attributes,
            [Event(names.DETAILS_EVENT, dict(span.event), span.end)] if span.event else (),
            kind=SpanKind.SERVER if span.kind == SERVER else SpanKind.CLIENT,
            status=Status(StatusCode.ERROR, span.message) if span.failed else Status(),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )


class _LastWords(logging.Handler):
    """Keeps what the exporter logged last: it tells only there why something was not sent. Its own lines, one for each
    batch, are not wanted beside ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self._logger = logging.getLogger(_LOGGER)
        self._logger.addHandler(self)
        self._logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.text = record.getMessage().splitlines()[0][:_WHAT]
        except (TypeError, ValueError, IndexError):
            self.text = ""

    def let_go(self) -> None:
        """Give the logger back."""
        self._logger.removeHandler(self)
        self._logger.propagate = True
