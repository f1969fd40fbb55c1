"""Spans as OTLP has them on the wire: protobuf (opentelemetry/proto/trace/v1/trace.proto), written by hand.

Measured on the 2-core development machine, CPython 3.11, for the two spans of one plain request: 112 us of CPU with the
SDK's spans and encoder, 31 us with protobuf's own messages made of ready attributes, 12 us so. A request costs some
50 us without being traced, so only this leaves tracing of all of them affordable. Tests decode it with protobuf.
"""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from lb.telemetry.otel import conventions as names
from lb.telemetry.otel.alike import Fixed, Pair, Value
from lb.telemetry.otel.spans import Span

LOCAL: Final = b"\x85\x01\x01\x01\x00\x00"
REMOTE: Final = b"\x85\x01\x01\x03\x00\x00"
"""Field 16, `flags`: sampled, and whether the parent is in another process."""
_FAILED: Final = b"\x18\x02"
"""Of `Status`: code = STATUS_CODE_ERROR."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS: Final = [_varint(number) for number in range(16384)]


def varint(number: int) -> bytes:
    """A whole number, from 0 on."""
    return _VARINTS[number] if number < 16384 else _varint(number)


def field(tag: bytes, content: bytes) -> bytes:
    """A field that has a length: text, bytes, or a message."""
    return tag + varint(len(content)) + content


def _value(value: Value) -> bytes:
    """An `AnyValue`."""
    if isinstance(value, str):
        return field(b"\x0a", value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return b"\x21" + struct.pack("<d", value)
    return field(b"\x2a", b"".join([field(b"\x0a", _value(item)) for item in value]))


def _member(tag: bytes, name: str, value: Value) -> bytes:
    """A `KeyValue` as a field of something."""
    return field(tag, field(b"\x0a", name.encode()) + field(b"\x12", _value(value)))


_DETAILS: Final = field(b"\x12", names.DETAILS_EVENT.encode())


def _attribute(pair: Pair) -> bytes:
    """A `KeyValue`, as field 9 of a span. Short texts and numbers, which nearly all are, have lengths of one byte."""
    name, value = pair
    key = _KEYS.get(name) or _key(name)
    if type(value) is str:
        text = value.encode("utf-8", "replace")
        size = len(text)
        if size < _SHORT:
            return b"\x4a%c%b%c\x0a%c%b" % (len(key) + size + 3, key, size + 2, size, text)
    told = _value(value)
    size = len(told)
    if size < _SHORT:
        return b"\x4a%c%b%c%b" % (len(key) + size + 1, key, size, told)
    return field(b"\x4a", key + varint(size) + told)


_KEYS: Final[dict[str, bytes]] = {}
"""By name: the encoded name and the tag of what follows. There are only the names of `conventions`."""
_SHORT: Final = 64
"""Bytes; with the longest of our names a whole attribute stays below 128."""


def _key(name: str) -> bytes:
    key = field(b"\x0a", name.encode()) + b"\x12"
    if len(key) + _SHORT + 3 > 127:
        raise ValueError("a name of an attribute has at most 57 characters")
    _KEYS[name] = key
    return key


def _fixed(group: Fixed) -> bytes:
    group.encoded = encoded = b"".join(map(_attribute, group.pairs))
    return encoded


def encode_span(span: Span) -> bytes:
    """A `Span`, as field 2 of `ScopeSpans`."""
    trace_id, span_id, parent_id, remote, state, name, kind, start, end, fixed, pairs, event, failed, message = span
    parts = [
        b"\x0a\x10%b\x12\x08%b" % (trace_id, span_id),
        b"\x22\x08%b" % parent_id if parent_id else b"",
        _name(name),
        _PLACE.pack(0x30, kind, 0x39, start, 0x41, end),
        *[group.encoded or _fixed(group) for group in fixed],
        *[_attribute(pair) for pair in pairs],
        REMOTE if remote else LOCAL,
    ]
    if state:
        parts.append(field(b"\x1a", state.encode("latin-1")))
    if event:
        parts.append(_event(end, event))
    if failed:
        text = field(b"\x12", message.encode("utf-8", "replace")) if message else b""
        parts.append(field(b"\x7a", text + _FAILED))
    return field(b"\x12", b"".join(parts))


_PLACE: Final = struct.Struct("<BBBQBQ")
"""Kind, start and end, each behind its tag."""


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    return field(b"\x2a", name.encode("utf-8", "replace"))


def _event(moment: int, pairs: Sequence[Pair]) -> bytes:
    """An `Event` of a span."""
    told = [_member(b"\x1a", name, value) for name, value in pairs]
    return field(b"\x5a", b"\x09" + struct.pack("<Q", moment) + _DETAILS + b"".join(told))


class Envelope:
    """Makes requests (`ExportTraceServiceRequest`) of encoded spans: who sends them is always the same."""

    def __init__(self, resource: Iterable[Pair], scope: str, version: str) -> None:
        described = b"".join([_member(b"\x0a", name, value) for name, value in resource])
        self._resource = field(b"\x0a", described)
        self._scope = field(b"\x0a", field(b"\x0a", scope.encode()) + field(b"\x12", version.encode()))

    def around(self, spans: Sequence[bytes]) -> bytes:
        """The request."""
        scope_spans = self._scope + b"".join(spans)
        return field(b"\x0a", self._resource + field(b"\x12", scope_spans))
