"""Does a form name objects? No client needs one for that, so it is not searched for which: it is only noticed.

Heads of parts are looked at wherever the boundary stands, also where only a lenient reader would see a part.
"""

import re
from urllib.parse import unquote_to_bytes

from lb.balancing.form_scan import PARTS_MAX
from lb.balancing.model_field import Ambiguous
from lb.balancing.multipart import boundary_of
from lb.balancing.references import KEY_NAMES

_HEAD_MAX = 8192
"""Bytes of a part's head."""
_BLANK = re.compile(rb"\r?\n\r?\n")
_NAME = re.compile(rb'[;\s]name(\*[^\s=]*)?\s*=\s*("[^"\\]*+(?:\\.[^"\\]*+)*+"|[^;\r\n]*)', re.IGNORECASE | re.DOTALL)
_PIECES = re.compile(r"[\[\].\s\"'<>]+")


def hidden_in_form(content_type: bytes, body: bytes, *, cut: bool) -> str:
    """Why it cannot be told which objects this form names; nothing where it names none, or is no form. `cut`: `body`
    is only its beginning, and what follows it matters."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/x-www-form-urlencoded":
        return "its body is a form, and must be JSON"
    if not kind.startswith(b"multipart/"):
        return ""
    if cut:
        return "its form is too large to be searched; upload the file to `/files`, and name that in JSON"
    try:
        boundary = boundary_of(content_type)
    except Ambiguous as problem:
        return str(problem)
    if boundary is None:
        return "the content type names no boundary"
    return _in_parts(body, b"--" + boundary)


def _in_parts(body: bytes, mark: bytes) -> str:
    at = body.find(mark)
    for _ in range(PARTS_MAX):
        if at < 0:
            return ""
        at += len(mark)
        blank = _BLANK.search(body, at, at + _HEAD_MAX)
        if _names_object(body[at : blank.start() if blank else at + _HEAD_MAX]):
            return "its body is a form with an object's id, and must be JSON"
        at = body.find(mark, at)
    return f"the form has more than {PARTS_MAX} parts"


def _names_object(head: bytes) -> bool:
    """A name in pieces or with an encoding (RFC 2231) is taken for one, since no client needs it here."""
    for special, value in _NAME.findall(head):
        name = unquote_to_bytes(value.replace(b"\\", b"")).decode("utf-8", "replace").lower()
        if special or not KEY_NAMES.isdisjoint(_PIECES.split(name)):
            return True
    return False
