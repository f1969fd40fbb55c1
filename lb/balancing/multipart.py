"""Where does a multipart form name its model? (RFC 7578; audio and image calls send one.)"""

import re

from lb.balancing.form_scan import FormScan
from lb.balancing.model_field import Ambiguous, Field

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\\]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_BOUNDARIES = re.compile(rb"boundary[*0-9]*\s*=", re.IGNORECASE)
_AFTER = re.compile(rb"--|[ \t]*\r\n")
"""What must follow a boundary, so that a longer one which begins alike is not taken for it."""
_FIELD_SIZE = 256
"""Bytes: a deployment name has at most 64 characters."""
VALUE_MAX = 2048
"""Bytes from the beginning of a value that tell it: the name, and the line that ends the part."""


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary parameter of a `multipart/form-data` content type. Raises `Ambiguous` where there may be two."""
    if len(_BOUNDARIES.findall(content_type)) > 1:
        raise Ambiguous("the content type names its boundary twice")
    found = _BOUNDARY.search(content_type)
    return (found[1] or found[2]) if found else None


def find_model_part(body: bytes, boundary: bytes) -> Field | None:
    """The value of the part named `model`, or None. Raises `Ambiguous` when there are two, or one in disguise."""
    scan = FormScan(boundary)
    scan.feed(body)
    start = scan.value_at
    return None if start < 0 else read_value(body[start : start + VALUE_MAX], start, boundary)


def read_value(text: bytes, start: int, boundary: bytes) -> Field | None:
    """The value of a part that begins `text`, which stands at `start` of the form; None where it has no end."""
    line = b"\r\n--" + boundary
    end = text.find(line, 0, _FIELD_SIZE + len(line))
    if end < 0 or not _AFTER.match(text, end + len(line)):
        return None
    return Field(text[:end].decode("utf-8", "replace"), start, start + end)
