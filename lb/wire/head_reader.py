"""Finds and reads a request's head. llhttp tells the fields apart; what it lets through and we must not, we refuse
(measured with httptools 0.9: two spaces after the method, HTTP/2.0, RTSP; fields and framing: see `head`).

The parser sees the head and nothing else: where the body ends is decided from the checked framing, see `intake`.
"""

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from lb.wire.handshake import heed_handshake
from lb.wire.head import Fields, Head, check_framing, heed_fields
from lb.wire.malformed import Malformed, explained, malformed
from lb.wire.request_line import doubt_line, read_line

HEAD_MAX: Final = 64 * 1024
"""Bytes: tokens of callers are large, what is larger than this is an attack."""
FIELDS_MAX: Final = 128

_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")
_fields: Final = Fields()
"""One for all connections, since a head is parsed in one go."""


def next_head(received: bytes, peer: str) -> tuple[Head | None, bytes]:
    """The first head in what was received, None if it is not complete, and what is left. Raises `Malformed`."""
    if received[:2] == b"\r\n":  # RFC 9112 section 2.2 lets some clients do that
        empty = _EMPTY_LINES.match(received)
        received = received[empty.end() :] if empty else received
    end = received.find(b"\r\n\r\n", 0, HEAD_MAX) + 4
    if end > 3:
        return _read(received[:end], peer), received[end:]
    problem = _doubt(received) if received else None
    if problem is not None:
        raise problem
    return None, received


def _read(block: bytes, peer: str) -> Head:
    line = read_line(block[: block.index(b"\r\n")])
    if block.count(b"\r\n") - 2 > FIELDS_MAX:
        raise malformed(f"The request has more than {FIELDS_MAX} header fields.", 431, "RequestHeaderFieldsTooLarge")
    fields = _fields
    forwarded = fields.begin()
    try:
        HttpRequestParser(fields).feed_data(block)
    except HttpParserUpgrade:
        pass  # a wish only: what follows is read by the framing as ever
    except HttpParserError as error:
        raise explained(error) from None
    head = Head(line.method, line.target, line.safe_target, line.modern, peer, forwarded, {}, query_key=line.query_key)
    heed_fields(head, fields.special)
    check_framing(head)
    if head.upgrades and b"upgrade" in head.fields:
        heed_handshake(head)
    return head


def _doubt(partial: bytes) -> Malformed | None:
    """Why is it clear already that no head will come of this, whatever follows?"""
    if partial.count(b"\n") != partial.count(b"\r\n"):
        return malformed("A line ends with LF alone.")
    if len(partial) > HEAD_MAX:
        return doubt_line(partial) or malformed(
            f"The request head is longer than {HEAD_MAX} bytes.", 431, "RequestHeaderFieldsTooLarge"
        )
    return doubt_line(partial)
