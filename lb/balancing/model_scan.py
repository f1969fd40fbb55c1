"""Finds the model of a body while the body comes in, so that none of it need be in memory when a backend is chosen."""

from typing import Protocol

from lb.balancing.form_scan import FormScan
from lb.balancing.json_scan import JsonScan
from lb.balancing.model_field import Ambiguous, Field, begins_object, read_string
from lb.balancing.multipart import VALUE_MAX, boundary_of, read_value

SLICE = 64 * 1024
"""Bytes that are looked at in one go, in less than a millisecond; 20 ms if they are made to be slow."""


class Scan(Protocol):
    """Reads along."""

    value_at: int

    def feed(self, piece: bytes) -> None:
        """Raises `Ambiguous`."""


class ModelScan:
    """Feed it the body. `problem` is what makes it unreadable, if anything does; then nothing more is looked at."""

    __slots__ = ("_boundary", "_offset", "_scan", "_text", "problem")

    def __init__(self, boundary: bytes | None) -> None:
        """`boundary` is that of a form; without one the body is JSON."""
        self._boundary = boundary
        self._scan: Scan = JsonScan() if boundary is None else FormScan(boundary)
        self._offset = 0
        self._text = b""
        """The beginning of the value, as far as it is here."""
        self.problem: Ambiguous | None = None

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body."""
        for at in range(0, len(piece), SLICE):
            if self.problem is None:
                self._look(piece[at : at + SLICE])

    def found(self) -> Field | None:
        """The model, as far as the body has been here. Raises `Ambiguous`."""
        if self.problem is not None:
            raise self.problem
        start = self._scan.value_at
        if start < 0:
            return None
        if self._boundary is None:
            return read_string(self._text, start, VALUE_MAX)
        return read_value(self._text, start, self._boundary)

    def _look(self, piece: bytes) -> None:
        try:
            self._scan.feed(piece)
        except Ambiguous as problem:
            self.problem = problem
            return
        start = self._scan.value_at
        missing = VALUE_MAX - len(self._text)
        if start >= 0 and missing:
            begin = start + len(self._text) - self._offset
            self._text += piece[begin : begin + missing]
        self._offset += len(piece)


def model_scan(content_type: bytes, content_encoding: bytes, beginning: bytes) -> ModelScan | None:
    """Something to look at this body with; None where it is of a kind that is not looked into."""
    if content_encoding.strip().lower() not in (b"", b"identity"):
        return None
    if content_type.partition(b";")[0].strip().lower() != b"multipart/form-data":
        return ModelScan(None) if begins_object(beginning) else None
    try:
        boundary = boundary_of(content_type)
    except Ambiguous:
        return None  # whoever routes it will say so
    return ModelScan(boundary) if boundary else None
