"""Brings encoded requests to an OTLP receiver: by HTTP, or by gRPC (`otlp_grpc`), as OTLP 1.5 has it.

The libraries' own exporters take only spans of the SDK, and these cost too much (see `encoding`).
"""

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import urllib3
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lb.telemetry.otel.encoding import Envelope, encode_spans
from lb.telemetry.otel.exporting import Unsent
from lb.telemetry.otel.spans import Span

_AGAIN: Final = frozenset((429, 502, 503, 504))
"""OTLP/HTTP, "Failures": these may be tried again."""


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
    proxy: str | None = None


class Sender(Protocol):
    """Takes one request and returns the reply's body. Raises `Unsent`."""

    def __call__(self, body: bytes) -> bytes: ...

    def close(self) -> None: ...


class Http:
    """OTLP/HTTP with protobuf. `proxy` is one for CONNECT.

    A post of 256 requests' spans takes 0.3 ms of CPU by urllib3, and by requests, which looks for proxies and passwords
    each time, 0.6 to 1.6 ms (measured on the 2-core development machine).
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._fields = {**receiver.headers, "Content-Type": "application/x-protobuf"}
        if receiver.compress:
            self._fields["Content-Encoding"] = "gzip"
        tls = {
            "ca_certs": receiver.certificate,
            "cert_file": receiver.client_certificate,
            "key_file": receiver.client_key,
        }
        given = {name: file for name, file in tls.items() if file}
        self._pool = (
            urllib3.ProxyManager(receiver.proxy, **given) if receiver.proxy else urllib3.PoolManager(**given)  # type: ignore[arg-type]
        )

    def __call__(self, body: bytes) -> bytes:
        receiver = self._receiver
        packed = gzip.compress(body, 1) if receiver.compress else body
        try:
            reply = self._pool.request(
                "POST", receiver.url, body=packed, headers=self._fields, timeout=receiver.timeout,
                retries=False, redirect=False,
            )  # fmt: skip
        except urllib3.exceptions.HTTPError as problem:
            raise Unsent(_said(problem), again=True) from None
        except (OSError, ValueError) as problem:  # such as a certificate's file that is not there
            raise Unsent(_said(problem)) from None
        if reply.status // 100 == 2:
            return reply.data
        pause = reply.headers.get("Retry-After", "")
        again = reply.status in _AGAIN
        raise Unsent(f"HTTP {reply.status}", again=again, pause=int(pause) if pause.isdigit() else None)

    def close(self) -> None:
        self._pool.clear()


def sender(receiver: Receiver, signal: str) -> Sender:
    """For `traces` or `metrics`."""
    if not receiver.grpc:
        return Http(receiver)
    from lb.telemetry.otel.otlp_grpc import Grpc  # it takes 8 MB

    return Grpc(receiver, signal)


class OtlpTraces:
    """A `Carrier` of spans."""

    name = "otlp"

    def __init__(self, send: Sender, envelope: Envelope) -> None:
        self._send = send
        self._envelope = envelope

    def prepare(self, spans: Sequence[Span]) -> bytes:
        return encode_spans(spans)

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


def _said(problem: Exception) -> str:
    """What went wrong, without the address, in which there may be a key."""
    cause: BaseException = problem
    while isinstance(cause.__context__, Exception):
        cause = cause.__context__
    return f"{type(cause).__name__}: {getattr(cause, 'strerror', None) or type(problem).__name__}"
