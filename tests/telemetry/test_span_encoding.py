"""Spans as bytes, read back with OpenTelemetry's own messages."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_receiver import attributes

from lb.telemetry.otel.alike import Fixed, Value
from lb.telemetry.otel.encoding import Envelope, encode_span
from lb.telemetry.otel.spans import CLIENT, Span

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(TEXTS, max_size=3).map(tuple),
)
PAIRS = st.dictionaries(st.text("abc._", min_size=1), VALUES, max_size=6)
MOMENTS = st.integers(0, 2**63)


def as_received(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value


@st.composite
def spans(draw: st.DrawFn) -> Span:
    return Span(
        draw(st.binary(min_size=16, max_size=16)),
        draw(st.binary(min_size=8, max_size=8)),
        draw(st.sampled_from([b"", b"12345678"])),
        draw(st.booleans()),
        draw(st.sampled_from(["", "vendor=1,other=2"])),
        CLIENT,
        draw(MOMENTS),
        draw(MOMENTS),
        Fixed(draw(TEXTS), [("fixed", draw(TEXTS)), ("also", draw(VALUES))]),
        list(draw(PAIRS).items()),
        tuple(draw(st.dictionaries(st.text("xyz", min_size=1), TEXTS, max_size=2)).items()),
        draw(st.booleans()),
        draw(TEXTS),
    )


@given(st.lists(spans(), max_size=4))
def test_what_was_encoded_is_read_back(told: list[Span]) -> None:
    envelope = Envelope([("service.name", "lb"), ("n", 3)], "scope", "1.0")
    request = ExportTraceServiceRequest.FromString(envelope.around([encode_span(span) for span in told]))
    (resource,) = request.resource_spans
    assert attributes(resource.resource) == {"service.name": "lb", "n": 3}
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("scope", "1.0")
    assert len(scope.spans) == len(told)
    for span, found in zip(told, scope.spans, strict=True):
        assert (found.trace_id, found.span_id, found.parent_span_id) == (span.trace_id, span.span_id, span.parent_id)
        assert (found.name, found.kind, found.trace_state) == (span.fixed.name, span.kind, span.state)
        assert (found.start_time_unix_nano, found.end_time_unix_nano) == (span.start, span.end)
        fixed = span.fixed.pairs
        assert attributes(found) == {name: as_received(value) for name, value in [*fixed, *span.pairs]}
        assert [attributes(event) for event in found.events] == ([dict(span.event)] if span.event else [])
        assert (found.status.code, found.status.message) == ((2, span.message) if span.failed else (0, ""))
        assert found.flags == (0x301 if span.remote else 0x101)


def test_one_and_true_and_one_point_zero_stay_what_they_are() -> None:
    """They are equal to Python, and so could be one entry of what is remembered."""
    values: list[Value] = [1, True, 1.0]
    told = [
        Span(b"1" * 16, b"2" * 8, b"", False, "", CLIENT, 1, 2, Fixed("n", ()), [("same", value)], (), False, "")
        for value in values
    ]
    request = ExportTraceServiceRequest.FromString(
        Envelope((), "s", "1").around([encode_span(span) for span in told])
    )  # fmt: skip
    found = [attributes(span)["same"] for span in request.resource_spans[0].scope_spans[0].spans]
    assert [type(value) for value in found] == [int, bool, float]
