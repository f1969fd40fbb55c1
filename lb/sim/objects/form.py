"""Multipart forms (RFC 7578), read from a whole body."""

import re
from dataclasses import dataclass, field

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"]*)"', re.IGNORECASE)
_FILENAME = re.compile(rb'[;\s]filename="([^"]*)"', re.IGNORECASE)


@dataclass(slots=True)
class Upload:
    """A file within a form."""

    filename: str
    content: bytes


@dataclass(slots=True)
class Form:
    """Its fields by name; of several with one name the last counts."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)


def read_form(content_type: str, body: bytes) -> Form:
    """Read a form. What is not one is an empty one."""
    form = Form()
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return form
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode("latin-1"))[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        name, filename = _NAME.search(head), _FILENAME.search(head)
        if name is None:
            continue
        if filename is not None:
            form.files[name[1].decode("utf-8", "replace")] = Upload(filename[1].decode("utf-8", "replace"), content)
        else:
            form.fields[name[1].decode("utf-8", "replace")] = content.decode("utf-8", "replace")
    return form
