"""Where does a multipart form name its model? (RFC 7578; audio and image calls send one.)"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from lb.balancing.model_field import Ambiguous, Field

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\\]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_BOUNDARIES = re.compile(rb"boundary[*0-9]*\s*=", re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition[ \t]*:[ \t]*([^;\n]*)(;.*)$", re.IGNORECASE | re.MULTILINE)
_PARAMETER = re.compile(rb';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*("[^"\\]*+(?:\\.[^"\\]*+)*+"|[^;"]*)')
_AFTER = re.compile(rb"--|[ \t]*(?=\r\n)")
"""What must follow a boundary, so that a longer one which begins alike is not taken for it."""
_LENIENT = re.compile(rb"(?:--)?[ \t]*(\r?\n|\Z)")
"""What may follow a boundary for readers that take LF for a line's end."""
_FIELD_SIZE = 256
"""Bytes: a deployment name has at most 64 characters."""
PARTS_MAX = 4096
"""Of a form; each costs some microseconds, during which nobody else is served."""


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary parameter of a `multipart/form-data` content type. Raises `Ambiguous` where there may be two."""
    if len(_BOUNDARIES.findall(content_type)) > 1:
        raise Ambiguous("the content type names its boundary twice")
    found = _BOUNDARY.search(content_type)
    return (found[1] or found[2]) if found else None


def find_model_part(body: bytes, boundary: bytes) -> Field | None:
    """The value of the part named `model`, or None. Raises `Ambiguous` when there are two, or one in disguise."""
    _check_lines(body, b"--" + boundary)
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


def _check_lines(body: bytes, mark: bytes) -> None:
    """Raises `Ambiguous` for a boundary that only readers who take LF for a line's end would see."""
    if body.count(mark) > PARTS_MAX:
        raise Ambiguous(f"the form has more than {PARTS_MAX} parts")
    at = body.find(mark)
    while at >= 0:
        after = _LENIENT.match(body, at + len(mark))
        strict = at == 0 or body[at - 2 : at] == b"\r\n"
        if after and (strict or body[at - 1] == 0x0A) and not (strict and after[1] != b"\n"):
            raise Ambiguous("the form ends a line with LF alone")
        at = body.find(mark, at + 1)


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
    dispositions = _DISPOSITION.findall(unfolded)
    names = [
        (name.lower(), value.strip())
        for _, parameters in dispositions
        for name, value in _PARAMETER.findall(parameters)
        if name.lower().partition(b"*")[0] == b"name"
    ]
    plain = [value.strip(b'"') == b"model" for name, value in names if name == b"name"]
    if plain == [True] and len(names) == 1 and dispositions[0][0].strip().lower() == b"form-data":
        return True
    if any(plain) or any(_reads_model(name, value) for name, value in names):
        raise Ambiguous("the form writes the name of the field `model` in an unusual way")
    return False


def _reads_model(name: bytes, value: bytes) -> bool:
    """Would some reader take this for `model`: with its backslashes or other quotes removed, or as an encoded value
    (RFC 5987)? A value in several pieces (RFC 2231) is not put together to find out."""
    if name == b"name*":
        value = unquote_to_bytes(value.rpartition(b"'")[2])
    return name not in (b"name", b"name*") or value.strip(b"\"'<>").replace(b"\\", b"") == b"model"
