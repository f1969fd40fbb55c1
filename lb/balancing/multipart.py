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
    if start < 0:
        return None
    line = b"\r\n--" + boundary
    end = body.find(line, start - 2, start + _FIELD_SIZE + len(line))
    if end < start or not _AFTER.match(body, end + len(line)):
        return None
    return Field(body[start:end].decode("utf-8", "replace"), start, end)
