"""Rules about a backend's reply that httptools leaves to us."""

from __future__ import annotations

import re
from typing import Final

from lb.exchange import Headers

CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
VERSIONS: Final = (b"HTTP/1.1 ", b"HTTP/1.0 ")


def framing(fields: Headers, old: bool) -> tuple[int | None, bool]:
    """Length of the body and whether it is chunked; `old` is HTTP/1.0. Raises `ValueError` saying what is wrong.

    httptools has already refused lengths that are garbled, doubled or beside a transfer coding.
    """
    length, chunked = None, False
    for name, value in fields:
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            length = int(value)
        elif size == 17 and name.lower() == b"transfer-encoding":
            if chunked or value.strip(b" \t").lower() != b"chunked":
                raise ValueError("a transfer coding other than chunked, once")
            chunked = True
    if chunked and old:
        raise ValueError("a transfer coding in HTTP/1.0")  # RFC 9112 section 6.1: faulty framing
    return length, chunked


def hopeless(begun: bytes) -> str | None:
    """Why this can never become a head, however it goes on: to be refused now and not at the idle limit."""
    if not any(begun.startswith(version[: len(begun)]) for version in VERSIONS):
        return "what came is not HTTP/1.1"
    if begun.count(b"\n") != begun.count(b"\r\n"):
        return "a line of its head ends without a carriage return"
    return None


def ends_exactly(data: bytes) -> bool:
    """Is the line end that closes a chunked body the last thing in this read? httptools skips further line ends.

    A read of less than five bytes cannot tell, and the connection is then not used again: rare and harmless.
    """
    return data[-4:] == b"\r\n\r\n" and data[-5:-4] not in b"\r\n"
