"""Where does a multipart form name its model? (RFC 7578; audio and image calls send one.)"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from lb.balancing.model_field import Ambiguous, Field

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition[ \t]*:[ \t]*form-data[ \t]*(;.*)$", re.IGNORECASE | re.MULTILINE)
_PARAMETER = re.compile(rb';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*("[^"\\]*+(?:\\.[^"\\]*+)*+"|[^;"]*)')
_AFTER = re.compile(rb"--|[ \t]*(?=\r\n)")
"""What must follow a boundary, so that a longer one which begins alike is not taken for it."""
_FIELD_SIZE = 256
"""Bytes: a deployment name has at most 64 characters."""


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary parameter of a `multipart/form-data` content type."""
    found = _BOUNDARY.search(content_type)
    return (found[1] or found[2]) if found else None


def find_model_part(body: bytes, boundary: bytes) -> Field | None:
    """The value of the part named `model`, or None. Raises `Ambiguous` when there are two, or one in disguise."""
    found, field = False, None
    for start, head_end, end in _parts(body, boundary):
        if not _is_model(body[start:head_end]):
            continue
        if found:
            raise Ambiguous("the form has the field `model` twice")
        found = True
        if 0 <= end <= head_end + _FIELD_SIZE:
            field = Field(body[head_end + 4 : end].decode("utf-8", "replace"), head_end + 4, end)
    return field


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each part's head begins and ends, and where the part ends: -1 when that is not there."""
    line = b"\r\n--" + boundary
    first = line[2:] + b"\r\n"
    start = len(first) - 2 if body.startswith(first) else _line_end(body, line, body.find(line))
    while start >= 0:
        end = body.find(line, start)
        while end >= 0 and not _AFTER.match(body, end + len(line)):
            end = body.find(line, end + 2)
        head_end = body.find(b"\r\n\r\n", start, end if end >= 0 else len(body))
        if head_end >= 0:
            yield start, head_end, end
        start = _line_end(body, line, end)


def _line_end(body: bytes, line: bytes, at: int) -> int:
    """Where the delimiter line at `at` ends; -1 when it is the last one or there is none."""
    after = _AFTER.match(body, at + len(line)) if at >= 0 else None
    return -1 if after is None or after[0] == b"--" else after.end()


def _is_model(head: bytes) -> bool:
    """Is this the head of the field `model`? Raises `Ambiguous` when readers might differ on it."""
    unfolded = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").replace(b"\r\n", b"\n")
    names = [
        (name.lower(), value.strip())
        for disposition in _DISPOSITION.findall(unfolded)
        for name, value in _PARAMETER.findall(disposition)
        if name.lower() in (b"name", b"name*")
    ]
    plain = [value.strip(b'"') == b"model" for name, value in names if name == b"name"]
    if plain == [True] and len(names) == 1:
        return True
    if any(plain) or any(_reads_model(name, value) for name, value in names):
        raise Ambiguous("the form writes the name of the field `model` in an unusual way")
    return False


def _reads_model(name: bytes, value: bytes) -> bool:
    """Would some reader take this for `model`: with its backslashes removed, or as an encoded value (RFC 5987)?"""
    if name == b"name*":
        value = unquote_to_bytes(value.rpartition(b"'")[2])
    return value.strip(b'"').replace(b"\\", b"") == b"model"
