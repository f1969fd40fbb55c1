"""What goes over the wire to an OTLP receiver, and what comes of its answers."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme
from otlp_receiver import Received, over_grpc, over_http

from lb.telemetry.otel.alike import Fixed
from lb.telemetry.otel.encoding import Envelope
from lb.telemetry.otel.exporting import Unsent
from lb.telemetry.otel.otlp import OtlpTraces, Receiver, sender
from lb.telemetry.otel.spans import CLIENT, Span

SPAN = Span(b"1" * 16, b"2" * 8, b"", False, "", CLIENT, 1, 2, Fixed("n", ()), (), (), False, "")


def carrier(receiver: Receiver) -> OtlpTraces:
    return OtlpTraces(sender(receiver, "traces"), Envelope([("service.name", "lb")], "s", "1"))


def sent(receiver: Receiver) -> int:
    """Send one span; returns how many were refused."""
    traces = carrier(receiver)
    try:
        return traces.send([traces.prepare([SPAN])])
    finally:
        traces.close()


@contextmanager
def answering(
    status: int, fields: Mapping[str, str] | None = None, context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A receiver that always answers this; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in {"Content-Length": "0", **(fields or {})}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A handshake that the client gave up."""

    server = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield str(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("grpc", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_spans_and_fields_arrive(grpc: bool, compress: bool) -> None:
    received = Received()
    with (over_grpc if grpc else over_http)(received) as url:
        receiver = Receiver(url if grpc else f"{url}/v1/traces", grpc, {"X-Key": "k"}, compress=compress)
        assert sent(receiver) == 0
    assert [span.name for span in received.spans] == ["n"]
    assert received.headers[0]["x-key"] == "k"


@pytest.mark.parametrize("grpc", [False, True])
def test_what_is_refused_of_a_batch_is_told(grpc: bool) -> None:
    received = Received()
    received.refused = 1
    with (over_grpc if grpc else over_http)(received) as url:
        assert sent(Receiver(url if grpc else f"{url}/v1/traces", grpc)) == 1


@pytest.mark.parametrize(
    ("status", "fields", "again", "pause"),
    [
        (400, {}, False, None),
        (401, {}, False, None),
        (301, {"Location": "http://127.0.0.1:1/"}, False, None),
        (429, {"Retry-After": "3"}, True, 3),
        (503, {}, True, None),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, True, None),
        (500, {}, False, None),
    ],
)
def test_which_answers_are_worth_another_try(
    status: int, fields: dict[str, str], again: bool, pause: int | None
) -> None:
    with answering(status, fields) as port, pytest.raises(Unsent) as unsent:
        sent(Receiver(f"http://127.0.0.1:{port}/v1/traces"))
    assert (unsent.value.reason, unsent.value.again, unsent.value.pause) == (f"HTTP {status}", again, pause)


@pytest.mark.parametrize("grpc", [False, True])
def test_nobody_there_is_worth_another_try_and_shows_no_secret(grpc: bool) -> None:
    with pytest.raises(Unsent) as unsent:
        sent(Receiver("http://127.0.0.1:1/v1/traces", grpc, {"api-key": "s3cret"}, timeout=2))
    assert unsent.value.again
    assert "s3cret" not in unsent.value.reason


def test_a_receiver_behind_tls_needs_a_root_that_we_trust(tmp_path) -> None:  # type: ignore[no-untyped-def]
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    files = {name: str(tmp_path / f"{name}.pem") for name in ("root", "chain", "key")}
    ours = ca.issue_cert("lb.example")
    ca.cert_pem.write_to_path(files["root"])
    ours.cert_chain_pems[0].write_to_path(files["chain"])
    ours.private_key_pem.write_to_path(files["key"])
    with answering(200, {}, context) as port:
        url = f"https://127.0.0.1:{port}/v1/traces"
        known = {"certificate": files["root"], "client_certificate": files["chain"], "client_key": files["key"]}
        assert sent(Receiver(url, **known)) == 0  # type: ignore[arg-type]
        with pytest.raises(Unsent, match="SSL"):
            sent(Receiver(url))
