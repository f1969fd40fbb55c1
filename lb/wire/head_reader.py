"""Finds and reads a request's head. llhttp tells the fields apart; what it lets through and we must not, we refuse
(measured with httptools 0.9: two spaces after the method, HTTP/2.0, RTSP; fields and framing: see `head`).

The parser sees the head and nothing else: where the body ends is decided from the checked framing, see `intake`.
"""

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from lb.refusal import Refusal
from lb.wire.head import Head, check_framing, sort_fields
from lb.wire.malformed import HEAD_MAX, Malformed, bad_first_line, doubt, explained, malformed
from lb.wire.target import origin_form, without_secrets

FIELDS_MAX = 128

_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_NOT_SERVED = {"CONNECT", "TRACE"}  # a tunnel; and an echo of what we send, our credential included


class _Sink:
    """What llhttp calls back. One for all connections: a head is parsed in one go."""

    __slots__ = ("fields", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


_sink = _Sink()
_METHODS: dict[bytes, str] = {}


def read_head(block: bytes, peer: str) -> Head:
    """The head in `block`, which ends with its first empty line. Raises `Malformed`."""
    sink = _sink
    sink.target = b""
    fields: list[tuple[bytes, bytes]] = []
    sink.fields = fields
    parser = HttpRequestParser(sink)
    try:
        parser.feed_data(block)
    except HttpParserUpgrade:
        pass  # a wish only: what follows is read by the framing as ever
    except HttpParserError as error:
        raise explained(block, error) from None
    method = parser.get_method()
    start = b"%b %b HTTP/1." % (method, sink.target)
    if not block.startswith(start) or block[len(start) : len(start) + 3] not in (b"1\r\n", b"0\r\n"):
        raise bad_first_line(block[: block.index(b"\r\n")])
    if len(fields) > FIELDS_MAX:
        raise malformed(f"The request has more than {FIELDS_MAX} header fields.", 431, "RequestHeaderFieldsTooLarge")
    name = _METHODS.get(method) or _METHODS.setdefault(method, method.decode())
    if name in _NOT_SERVED:
        raise malformed(f"{name} is not served here.", 405, "MethodNotAllowed")
    target = origin_form(sink.target)
    if isinstance(target, Refusal):
        raise Malformed(target)
    safe, key = without_secrets(target)
    head = Head(name, target, safe, block[len(start)] == 49, peer, [], {}, query_key=key)
    sort_fields(head, fields)
    check_framing(head)
    return head


def next_head(received: bytes, peer: str) -> tuple[Head | None, bytes]:
    """The first head in what was received, None if it is not complete, and what is left. Raises `Malformed`."""
    if received[:2] == b"\r\n":  # RFC 9112 section 2.2 lets some clients do that
        empty = _EMPTY_LINES.match(received)
        received = received[empty.end() :] if empty else received
    if not received:
        return None, received
    end = received.find(b"\r\n\r\n", 0, HEAD_MAX)
    if end < 0:
        problem = doubt(received)
        if problem is not None:
            raise problem
        return None, received
    return read_head(received[: end + 4], peer), received[end + 4 :]
