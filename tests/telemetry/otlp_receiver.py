"""An OTLP receiver on both of its protocols, decoded with OpenTelemetry's own messages and service classes."""

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


def plain(value: Any) -> Any:
    """An `AnyValue` as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind)


def attributes(message: Any) -> dict[str, Any]:
    """Of a span, an event, a resource, a data point."""
    return {pair.key: plain(pair.value) for pair in message.attributes}


class Received:
    """All that arrived."""

    def __init__(self) -> None:
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.refused = 0

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def points(self, name: str) -> list[Any]:
        """Data points of a metric, as they last arrived."""
        if not self.metrics:
            return []
        return [
            point
            for resource in self.metrics[-1].resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        ]

    def take(self, signal: str, body: bytes, headers: dict[str, str]) -> bytes:
        """One request; returns the reply's body."""
        self.headers.append(headers)
        if signal == "traces":
            self.traces.append(ExportTraceServiceRequest.FromString(body))
            reply = ExportTraceServiceResponse()
            if self.refused:
                reply.partial_success.rejected_spans = self.refused
            return bytes(reply.SerializeToString())
        self.metrics.append(ExportMetricsServiceRequest.FromString(body))
        return bytes(ExportMetricsServiceResponse().SerializeToString())


@contextmanager
def over_http(received: Received, port: int = 0) -> Iterator[str]:
    """OTLP/HTTP; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.headers["Content-Type"] == "application/x-protobuf"
            status, reply = received.status, b""  # read once: a test changes it at any moment
            if status == 200:
                reply = received.take(
                    self.path.removeprefix("/v1/"), body, {k.lower(): v for k, v in self.headers.items()}
                )
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def over_grpc(received: Received) -> Iterator[str]:
    """OTLP/gRPC; gives the address."""

    def told(context: Any) -> dict[str, str]:
        return {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}

    class Traces(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            if received.status != 200:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
            return ExportTraceServiceResponse.FromString(
                received.take("traces", request.SerializeToString(), told(context))
            )

    class Metrics(MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            received.take("metrics", request.SerializeToString(), told(context))
            return ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(4))
    add_TraceServiceServicer_to_server(Traces(), server)
    add_MetricsServiceServicer_to_server(Metrics(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
