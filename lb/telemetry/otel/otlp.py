"""Brings encoded requests to an OTLP receiver: by HTTP (requests) or gRPC, as OTLP 1.5 has it.

The libraries' own exporters take only spans of the SDK, and these cost too much (see `encoding`).
"""

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import grpc
import requests
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lb.telemetry.otel.encoding import Envelope, encode_span
from lb.telemetry.otel.exporting import Unsent
from lb.telemetry.otel.spans import Span

_AGAIN: Final = frozenset((429, 502, 503, 504))
"""OTLP/HTTP, "Failures": these may be tried again."""
_AGAIN_GRPC: Final = frozenset({
    grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
})  # fmt: skip
"""OTLP/gRPC, "Failures"; RESOURCE_EXHAUSTED counts where the receiver says how long to wait."""
_SERVICES: Final = {"traces": "trace", "metrics": "metrics"}
_WHAT: Final = 200
"""Characters of a receiver's answer that a log line shows."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to, and how. Files are paths of PEM files."""

    url: str
    grpc: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    compress: bool = False
    insecure: bool = False
    """Plain gRPC to an address without a scheme."""
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


class Sender(Protocol):
    """Takes one request and returns the reply's body. Raises `Unsent`."""

    def __call__(self, body: bytes) -> bytes: ...

    def close(self) -> None: ...


class Http:
    """OTLP/HTTP with protobuf. A proxy for it is taken from the environment, as requests does."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._session = requests.Session()
        self._session.headers.update({**receiver.headers, "Content-Type": "application/x-protobuf"})
        if receiver.compress:
            self._session.headers["Content-Encoding"] = "gzip"
        if receiver.certificate:
            self._session.verify = receiver.certificate
        if receiver.client_certificate:
            key = receiver.client_key
            self._session.cert = (receiver.client_certificate, key) if key else receiver.client_certificate

    def __call__(self, body: bytes) -> bytes:
        receiver = self._receiver
        packed = gzip.compress(body, 1) if receiver.compress else body
        try:
            reply = self._session.post(receiver.url, data=packed, timeout=receiver.timeout, allow_redirects=False)
        except requests.RequestException as problem:
            raise Unsent(_said(problem), again=True) from None
        except OSError as problem:  # such as a certificate's file that is not there
            raise Unsent(_said(problem)) from None
        if reply.status_code // 100 == 2:
            return reply.content
        pause = reply.headers.get("Retry-After", "")
        raise Unsent(
            f"HTTP {reply.status_code}",
            again=reply.status_code in _AGAIN,
            pause=int(pause) if pause.isdigit() else None,
        )

    def close(self) -> None:
        self._session.close()


class Grpc:
    """OTLP/gRPC."""

    def __init__(self, receiver: Receiver, signal: str) -> None:
        self._receiver = receiver
        compression = grpc.Compression.Gzip if receiver.compress else grpc.Compression.NoCompression
        place = urlsplit(receiver.url) if "://" in receiver.url else urlsplit(f"//{receiver.url}")
        if place.scheme == "http" or (not place.scheme and receiver.insecure):
            self._channel = grpc.insecure_channel(place.netloc, compression=compression)
        else:
            self._channel = grpc.secure_channel(place.netloc, _credentials(receiver), compression=compression)
        service = _SERVICES[signal]
        self._call = self._channel.unary_unary(
            f"/opentelemetry.proto.collector.{service}.v1.{service.capitalize()}Service/Export"
        )
        self._headers = tuple((name.lower(), value) for name, value in receiver.headers.items())

    def __call__(self, body: bytes) -> bytes:
        try:
            reply: bytes = self._call(body, timeout=self._receiver.timeout, metadata=self._headers)
        except grpc.RpcError as problem:
            code, pause = problem.code(), _asked_pause(problem)
            again = code in _AGAIN_GRPC or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and pause is not None)
            raise Unsent(f"gRPC {code.name}: {str(problem.details())[:_WHAT]}", again=again, pause=pause) from None
        return reply

    def close(self) -> None:
        self._channel.close()


def sender(receiver: Receiver, signal: str) -> Sender:
    """For `traces` or `metrics`."""
    return Grpc(receiver, signal) if receiver.grpc else Http(receiver)


class OtlpTraces:
    """A `Carrier` of spans."""

    name = "otlp"

    def __init__(self, send: Sender, envelope: Envelope) -> None:
        self._send = send
        self._envelope = envelope

    def prepare(self, spans: Sequence[Span]) -> bytes:
        return b"".join([encode_span(span) for span in spans])

    def send(self, batch: Sequence[bytes]) -> int:
        reply = self._send(self._envelope.around(batch))
        return _refused(reply, lambda: ExportTraceServiceResponse.FromString(reply).partial_success.rejected_spans)

    def close(self) -> None:
        self._send.close()


class OtlpMetrics:
    """Sends encoded metrics."""

    def __init__(self, send: Sender) -> None:
        self._send = send

    def send(self, body: bytes) -> int:
        """Returns how many data points were refused. Raises `Unsent`."""
        reply = self._send(body)
        return _refused(
            reply, lambda: ExportMetricsServiceResponse.FromString(reply).partial_success.rejected_data_points
        )

    def close(self) -> None:
        self._send.close()


def _refused(reply: bytes, read: Callable[[], int]) -> int:
    """What a receiver took only in part, it says so; a reply that cannot be read was a good one by its status."""
    if not reply:
        return 0
    try:
        return int(read())
    except Exception:
        return 0


def _credentials(receiver: Receiver) -> grpc.ChannelCredentials:
    files = receiver.certificate, receiver.client_key, receiver.client_certificate
    root, key, chain = [Path(file).read_bytes() if file else None for file in files]
    return grpc.ssl_channel_credentials(root, key, chain)


def _asked_pause(problem: grpc.RpcError) -> float | None:
    for name, value in problem.trailing_metadata() or ():
        if name == "google.rpc.retryinfo-bin":
            delay = RetryInfo.FromString(value).retry_delay
            return float(delay.seconds + delay.nanos / 1e9)
    return None


def _said(problem: Exception) -> str:
    """What went wrong, without the address, in which there may be a key."""
    cause: BaseException = problem
    while isinstance(cause.__context__, Exception):
        cause = cause.__context__
    return f"{type(problem).__name__}: {type(cause).__name__} {getattr(cause, 'strerror', None) or ''}".strip()
