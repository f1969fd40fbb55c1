"""OTLP/gRPC, apart from the rest, since its library is large."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import grpc
from google.rpc.error_details_pb2 import RetryInfo

from lb.telemetry.otel.exporting import Unsent
from lb.telemetry.otel.otlp import Receiver

_AGAIN: Final = frozenset({
    grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
})  # fmt: skip
"""OTLP/gRPC, "Failures": these may be tried again; RESOURCE_EXHAUSTED where the receiver says how long to wait."""
_SERVICES: Final = {"traces": "trace", "metrics": "metrics"}
_WHAT: Final = 200
"""Characters of a receiver's answer that a log line shows."""


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
            again = code in _AGAIN or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and pause is not None)
            raise Unsent(f"gRPC {code.name}: {str(problem.details())[:_WHAT]}", again=again, pause=pause) from None
        return reply

    def close(self) -> None:
        self._channel.close()


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
