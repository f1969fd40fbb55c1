"""An OTLP receiver for looking and for measuring: takes traces over HTTP and prints them, or just takes them.

    python -m bench.receiver [--port 4318] [--quiet]

With `--quiet` it takes what comes without decoding it, so that it costs the machine little.
"""

import argparse
import gzip
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {2: "SERVER", 3: "CLIENT"}


def plain(value: Any) -> Any:
    """An `AnyValue` as Python has it."""
    kind = value.WhichOneof("value")
    return [plain(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def show(body: bytes) -> None:
    """Each span with its attributes, those with a local parent indented."""
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for span in [span for scope in resource.scope_spans for span in scope.spans]:
            indent = "" if span.kind == 2 else "  "
            ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
            failed = "  ERROR" if span.status.code == 2 else ""
            print(f"{indent}{KINDS[span.kind]} {span.name}  {ms:.1f} ms  trace {span.trace_id.hex()}{failed}")
            for pair in span.attributes:
                print(f"{indent}    {pair.key} = {plain(pair.value)}")
            for event in span.events:
                print(f"{indent}    event {event.name}")
                for pair in event.attributes:
                    print(f"{indent}        {pair.key} = {plain(pair.value)}")


class Receiver(BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    protocol_version = "HTTP/1.1"
    quiet = False

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.quiet and self.path == "/v1/traces":
            show(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            sys.stdout.flush()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=4318)
    parser.add_argument("--quiet", action="store_true")
    a = parser.parse_args()
    Receiver.quiet = a.quiet
    server = ThreadingHTTPServer(("127.0.0.1", a.port), Receiver)
    print(
        server.server_address[1] if a.quiet else f"listens on http://127.0.0.1:{server.server_address[1]}", flush=True
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
