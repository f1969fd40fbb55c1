"""Where does a multipart form name its model? (RFC 7578; audio and image calls send one.)"""

import re

from lb.balancing.model_field import Ambiguous, Field

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(
    rb'^content-disposition\s*:\s*form-data\b[^\r\n]*;\s*name=(?:"model"|model)\s*(?:;|$)', re.IGNORECASE | re.MULTILINE
)
_FIELD_SIZE = 256
"""Bytes: a deployment name has at most 64 characters."""


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary parameter of a `multipart/form-data` content type."""
    found = _BOUNDARY.search(content_type)
    return (found[1] or found[2]) if found else None


def find_model_part(body: bytes, boundary: bytes) -> Field | None:
    """The value of the part named `model`, or None. Raises `Ambiguous` when there are two."""
    delimiter = b"--" + boundary
    field = None
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter)
    while at >= 0:
        start = body.find(b"\r\n", at + 2)
        end = body.find(b"\r\n" + delimiter, start) if start >= 0 else -1
        head_end = body.find(b"\r\n\r\n", start) if start >= 0 else -1
        if start < 0 or head_end < 0:
            return field
        if (end < 0 or head_end < end) and _NAME.search(body[start + 2 : head_end].replace(b"\r\n", b"\n")):
            if field is not None:
                raise Ambiguous("the form has the field `model` twice")
            if end < 0 or end - head_end > _FIELD_SIZE:
                return None
            field = Field(body[head_end + 4 : end].decode("utf-8", "replace"), head_end + 4, end)
        at = end
    return field
