"""What Microsoft's exporter makes of our spans, at a stand-in for Application Insights."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lb.telemetry.otel.alike import Fixed
from lb.telemetry.otel.azure import AzureTraces
from lb.telemetry.otel.exporting import Unsent
from lb.telemetry.otel.spans import CLIENT, SERVER, Span

KEY = "00000000-0000-0000-0000-000000000001"
TRACE, ROOT, CHILD = b"\x0a" * 16, b"\x0b" * 8, b"\x0c" * 8
SERVED = Span(
    TRACE, ROOT, b"", False, "", SERVER,
    1_790_000_000_000_000_000, 1_790_000_001_000_000_000,
    Fixed(
        "POST /openai/deployments/{deployment}/chat/completions",
        [("http.request.method", "POST"), ("http.response.status_code", 200), ("lb.outcome", "relayed")],
    ),
    (("lb.request_id", "r-1"),), (), False, "",
)  # fmt: skip
ANSWERED = Span(
    TRACE, CHILD, ROOT, False, "", CLIENT,
    1_790_000_000_000_000_000, 1_790_000_000_500_000_000,
    Fixed(
        "chat chat",
        [
            ("http.request.method", "POST"), ("server.address", "openai1.openai.azure.com"), ("server.port", 443),
            ("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "azure.ai.openai"),
            ("http.response.status_code", 200), ("lb.verdict", "relayed"),
        ],
    ),
    (("gen_ai.usage.input_tokens", 5), ("gen_ai.response.finish_reasons", ("stop",))), (), False, "",
)  # fmt: skip


class Ingestion:
    """Takes `/v2.1/track`."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200


@contextmanager
def ingesting() -> Iterator[tuple[Ingestion, str]]:
    """The stand-in and its connection string."""
    there = Ingestion()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            there.paths.append(self.path)
            items = [json.loads(line) for line in body.splitlines()] if not body.startswith(b"[") else json.loads(body)
            reply = {"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}
            if there.status == 200:
                there.items += items
            told = json.dumps(reply).encode()
            self.send_response(there.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield there, f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def ingestion() -> Iterator[tuple[Ingestion, AzureTraces]]:
    with ingesting() as (there, connection_string):
        resource = {"service.name": "openai-lb", "service.instance.id": "host-1"}
        traces = AzureTraces(connection_string, resource, "1", timeout=5, identity=False, client_id=None)
        yield there, traces
        traces.close()


def test_a_request_and_its_attempt_are_one_operation(ingestion: tuple[Ingestion, AzureTraces]) -> None:
    there, traces = ingestion
    assert traces.send([traces.prepare([SERVED, ANSWERED])]) == 0
    assert there.paths == ["/v2.1/track"]
    request, dependency = there.items
    assert {item["iKey"] for item in there.items} == {KEY}
    assert {item["tags"]["ai.operation.id"] for item in there.items} == {TRACE.hex()}
    assert request["tags"]["ai.cloud.role"] == "openai-lb"
    assert request["tags"]["ai.cloud.roleInstance"] == "host-1"

    told = request["data"]["baseData"]
    assert request["data"]["baseType"] == "RequestData"
    assert (told["id"], told["responseCode"], told["success"], told["duration"]) == (
        ROOT.hex(),
        "200",
        True,
        "0.00:00:01.000",
    )
    assert told["properties"]["lb.outcome"] == "relayed"

    told = dependency["data"]["baseData"]
    assert dependency["data"]["baseType"] == "RemoteDependencyData"
    assert dependency["tags"]["ai.operation.parentId"] == ROOT.hex()
    assert told["type"] == "GenAI | az.ai.openai"
    assert told["target"].startswith("openai1.openai.azure.com")
    assert told["success"] is True
    assert told["properties"]["gen_ai.provider.name"] == "azure.ai.openai"
    assert told["properties"]["gen_ai.usage.input_tokens"] == "5"


def test_a_failed_attempt_is_a_failed_dependency(ingestion: tuple[Ingestion, AzureTraces]) -> None:
    there, traces = ingestion
    refused = Span(
        TRACE, CHILD, ROOT, False, "", CLIENT, ANSWERED.start, ANSWERED.end,
        Fixed("POST", [("http.request.method", "POST"), ("http.response.status_code", 429)]),
        (("lb.cooldown_seconds", 7.0),), (), True, "HTTP 429",
    )  # fmt: skip
    traces.send([traces.prepare([refused])])
    (item,) = there.items
    told = item["data"]["baseData"]
    assert (told["success"], told["resultCode"]) == (False, "429")
    assert told["properties"]["lb.cooldown_seconds"] == "7.0"


@pytest.mark.parametrize("status", [400, 500])
def test_a_refusal_is_told_with_its_reason(ingestion: tuple[Ingestion, AzureTraces], status: int) -> None:
    there, traces = ingestion
    there.status = status
    with pytest.raises(Unsent) as unsent:
        traces.send([traces.prepare([SERVED])])
    assert unsent.value.reason


def test_with_an_identity_the_key_alone_is_not_sent() -> None:
    """A token goes over TLS only, so the stand-in gets nothing."""
    with ingesting() as (there, connection_string):
        traces = AzureTraces(connection_string, {}, "1", timeout=1, identity=True, client_id="some-identity")
        with pytest.raises(Unsent) as unsent:
            traces.send([traces.prepare([SERVED])])
        assert not there.paths
        assert "non-TLS" in unsent.value.reason
        traces.close()


def test_nobody_there_is_told_soon() -> None:
    string = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:9/"
    traces = AzureTraces(string, {}, "1", timeout=1, identity=False, client_id=None)
    with pytest.raises(Unsent) as unsent:
        traces.send([traces.prepare([SERVED])])
    assert unsent.value.reason
    traces.close()
