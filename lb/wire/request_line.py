"""The first line of a request. Few different ones come, so that what was found of them is remembered."""

import re
from dataclasses import dataclass
from typing import Final

from lb.refusal import Refusal
from lb.wire.malformed import Malformed, malformed
from lb.wire.target import TARGET_MAX, origin_form, without_secrets

_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \x00-\x1f\x7f]+) HTTP/([0-9])\.([0-9])")
_NOT_SERVED: Final = {b"CONNECT", b"TRACE"}  # a tunnel; and an echo of what we send, our credential included
_REMEMBERED_MAX: Final = 1024
_remembered: dict[bytes, "RequestLine"] = {}


@dataclass(frozen=True, slots=True, repr=False)
class RequestLine:
    method: str
    target: bytes
    """In origin form, a key in the query included."""
    safe_target: bytes
    """Without it."""
    query_key: bytes | None
    modern: bool
    """HTTP/1.1, else 1.0."""


def read_line(line: bytes) -> RequestLine:
    """Raises `Malformed`."""
    return _remembered.get(line) or _read(line)


def _read(line: bytes) -> RequestLine:
    match = _LINE.fullmatch(line)
    if match is None:
        raise malformed("The request line is malformed.")
    method, target, major, minor = match.groups()
    _check_version(major, minor)
    if method in _NOT_SERVED:
        raise malformed(f"{method.decode()} is not served here.", 405, "MethodNotAllowed")
    origin = origin_form(target)
    if isinstance(origin, Refusal):
        raise Malformed(origin)
    safe, key = without_secrets(origin)
    found = RequestLine(method.decode(), origin, safe, key, minor == b"1")
    if key is None and len(line) <= 512:
        if len(_remembered) >= _REMEMBERED_MAX:
            _remembered.clear()
        _remembered[line] = found
    return found


def _check_version(major: bytes, minor: bytes) -> None:
    if major in b"23":
        raise malformed("This port speaks HTTP/1.1.", 505, "HttpVersionNotSupported")
    if major != b"1" or minor not in b"01":
        raise malformed("The HTTP version is unknown.")


def doubt_line(partial: bytes) -> Malformed | None:
    """Why no request line will come of this beginning, whatever follows?"""
    if partial[:1] == b"\x16":
        return malformed("This is TLS, and the port speaks plain HTTP.")
    if partial[0] < 33 and partial != b"\r":
        return malformed("The request line is malformed.")
    end = partial.find(b"\r\n", 0, TARGET_MAX + 64)
    if end < 0 and len(partial) > TARGET_MAX + 64:
        return malformed(f"The request target is longer than {TARGET_MAX} bytes.", 414, "UriTooLong")
    if end >= 0:
        try:
            read_line(partial[:end])
        except Malformed as problem:
            return problem
    return None
