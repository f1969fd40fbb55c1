"""The head that nearly every reply has, read by one regular expression.

Plain is a head of HTTP/1.1 with one Content-Length, and without any other field that frames the body or is for this hop
only. Whatever is unlike that is left to llhttp, which costs 5 us for eight fields where this costs 1.3.
"""

import re
from functools import lru_cache
from typing import Final

from lb.exchange import Headers
from lb.wire.headers import REPLY_RULES

_SPECIAL: Final = b"|".join([re.escape(name) for name in REPLY_RULES.known])
# RFC 9110 sections 5.1 and 5.5: a token, a colon, and what is visible, blank or beyond ASCII. No line is folded.
_FIELD: Final = rb"(?!(?i:%b)[ \t]*:)[!#$%%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+\r\n" % _SPECIAL
_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*+)\r\n"
    rb"(?:%b)*+(?i:content-length):[ \t]*+([0-9]{1,18})[ \t]*+\r\n(?:%b)*+\r\n" % (_FIELD, _FIELD)
)


class PlainHead:
    """What it says, and where it ends in what was received."""

    __slots__ = ("end", "length", "reason", "status")

    def __init__(self, status: int, reason: bytes, length: int, end: int) -> None:
        self.status = status
        self.reason = reason
        self.length = length
        self.end = end


def plain_head(received: bytes) -> PlainHead | None:
    """The head that `received` begins with, if it is complete and plain."""
    found = _PLAIN.match(received)
    return PlainHead(int(found[1]), found[2], int(found[3]), found.end()) if found is not None else None


def fields_of(raw: bytes) -> Headers:
    """The fields of a plain head, as llhttp tells them: without blanks before a value."""
    pairs = [line.partition(b":") for line in raw.split(b"\r\n")[1:-2]]
    return [(name, value.lstrip(b" \t")) for name, _, value in pairs]


def field_of(raw: bytes, lowered: bytes, name: bytes) -> bytes | None:
    """The first value of a field by its lower-case name; `lowered` is `raw` in lower case."""
    at = lowered.find(_beginning(name))
    if at < 0:
        return None
    start = at + len(name) + 3
    return raw[start : raw.index(b"\r\n", start)].strip(b" \t")


@lru_cache(maxsize=256)
def _beginning(name: bytes) -> bytes:
    """Of a field's line. The names are those that are asked for here."""
    return b"\r\n%b:" % name
