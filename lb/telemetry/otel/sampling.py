"""Which requests are recorded, and what their callers said of the trace that they belong to.

Formats: W3C Trace Context, sections 3.2 (traceparent) and 3.3 (tracestate).
"""

import random
import re
from typing import Final, NamedTuple

_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_LINES: Final = re.compile(rb"^trace(parent|state):[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE | re.MULTILINE)
_STATE_MAX: Final = 512
"""Characters of tracestate that have to be passed on (section 3.3.1.5); a longer one is left out."""
_REMEMBERED: Final = 1024
"""Bytes: longer ones are looked through each time."""
_KNOWN: Final = 1024


class Parent(NamedTuple):
    """The caller's span."""

    trace_id: bytes
    span_id: bytes
    sampled: bool
    state: bytes


class Plain:
    """Knows which header fields name no context: clients that name none send the same ones again and again, and looking
    through them takes 20 times as long as finding them here."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def __contains__(self, fields: bytes) -> bool:
        """Is there surely no context in a request's rendered header fields?"""
        if fields in self._known:
            return True
        if b"trace" in fields.lower():
            return False
        if len(fields) <= _REMEMBERED:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known.add(fields)
        return True


def read_parent(fields: bytes) -> Parent | None:
    """The caller's span by the request's rendered header fields; None where it names none that counts."""
    lines = _LINES.findall(fields)
    parents = [value for kind, value in lines if kind.lower() == b"parent"]
    found = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    trace_id, span_id = bytes.fromhex(found[2].decode()), bytes.fromhex(found[3].decode())
    if not any(trace_id) or not any(span_id):
        return None
    state = b",".join([value for kind, value in lines if kind.lower() == b"state" and value])
    return Parent(trace_id, span_id, bool(int(found[4], 16) & 1), state if len(state) <= _STATE_MAX else b"")


class Sampler:
    """Decides by a share of all traces. `by_parent`: a caller that has decided is followed."""

    def __init__(self, ratio: float, rng: random.Random, *, by_parent: bool = True) -> None:
        self._bound = round(ratio * 2**64)
        self._bits = rng.getrandbits
        self._by_parent = by_parent

    def root(self) -> bytes | None:
        """The id of a new trace, None where it is not to be recorded. The test comes before anything is made."""
        low = self._bits(64)
        if low >= self._bound:
            return None
        return ((self._bits(64) or 1) << 64 | low).to_bytes(16)

    def takes(self, parent: Parent) -> bool:
        """Is the caller's trace to be recorded here, too?"""
        return parent.sampled if self._by_parent else int.from_bytes(parent.trace_id[8:]) < self._bound

    def span_id(self) -> bytes:
        """A new one."""
        return (self._bits(64) or 1).to_bytes(8)
