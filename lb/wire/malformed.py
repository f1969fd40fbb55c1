"""What is wrong with a request that is not HTTP as we take it, in words for the client and the operator."""

import re

from httptools import HttpParserError, HttpParserInvalidMethodError

from lb.refusal import Refusal
from lb.wire.target import TARGET_MAX

HEAD_MAX = 64 * 1024
"""Bytes of a request's head: tokens of callers may be large, more is an attack."""

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \x00-\x1f\x7f]+) HTTP/([0-9])\.([0-9])")


class Malformed(Exception):
    """What came is refused without asking anybody; `refusal.message` says why, in constant words."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def malformed(message: str, status: int = 400, code: str = "BadRequest") -> Malformed:
    return Malformed(Refusal(status, code, message))


# llhttp's words, where ours are clearer or the status is another one.
_EXPLAINED = {
    "Transfer-Encoding can't be present with Content-Length": "The request is framed twice, by Content-Length and by "
    "Transfer-Encoding.",
    "Content-Length can't be present with Transfer-Encoding": "The request is framed twice, by Content-Length and by "
    "Transfer-Encoding.",
    "Duplicate Content-Length": "The field content-length must come once only.",
    "Invalid character in Content-Length": "The Content-Length field is not a length.",
    "Empty Content-Length": "The Content-Length field is not a length.",
    "Content-Length overflow": "The Content-Length field is not a length.",
    "Invalid header token": "A header field's name is malformed.",
    "Invalid header field char": "A header field's name is malformed.",
    "Invalid header value char": "A header field's value holds a control character.",
    "Unexpected whitespace after header value": "A header field is folded over several lines.",
    "Unexpected space after start line": "A header field is folded over several lines.",
    "Missing expected CR after header value": "A line ends with LF alone.",
    "Missing expected LF after header value": "A line ends with CR alone.",
    "Invalid `Transfer-Encoding` header value": "The Transfer-Encoding field is malformed.",
    "Empty Transfer-Encoding": "The Transfer-Encoding field is malformed.",
}


def explained(block: bytes, error: HttpParserError) -> Malformed:
    end = block.find(b"\r\n")
    line = block[:end]
    if _REQUEST_LINE.fullmatch(line) is None or not line.endswith((b"HTTP/1.1", b"HTTP/1.0")):
        return bad_first_line(line)
    if isinstance(error, HttpParserInvalidMethodError):
        return malformed("The request method is unknown.", 501, "NotImplemented")
    reason = str(error)
    if reason == "Request has invalid `Transfer-Encoding`":
        return malformed("This Transfer-Encoding is not supported, only chunked is.", 501, "NotImplemented")
    return malformed(_EXPLAINED.get(reason, "The request head is not HTTP/1.1."))


def bad_first_line(line: bytes) -> Malformed:
    if line[:1] == b"\x16":
        return malformed("This is TLS, and the port speaks plain HTTP.")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        return malformed("The request line is malformed.")
    if len(match[2]) > TARGET_MAX:
        return malformed(f"The request target is longer than {TARGET_MAX} bytes.", 414, "UriTooLong")
    if match[3] in b"23":
        return malformed("This port speaks HTTP/1.1.", 505, "HttpVersionNotSupported")
    return malformed("The request line is malformed.")


def doubt(partial: bytes) -> Malformed | None:
    """Why is it clear already that no head will come of this, whatever follows?"""
    if partial[0] < 33 and partial != b"\r":
        return bad_first_line(partial[:1])
    if partial.count(b"\n") != partial.count(b"\r\n"):
        return malformed("A line ends with LF alone.")
    end = partial.find(b"\r\n", 0, TARGET_MAX + 64)
    if end < 0 and len(partial) > TARGET_MAX + 64:
        return malformed(f"The request target is longer than {TARGET_MAX} bytes.", 414, "UriTooLong")
    if end >= 0 and not partial[:end].endswith((b" HTTP/1.1", b" HTTP/1.0")):
        return bad_first_line(partial[:end])
    if len(partial) > HEAD_MAX:
        return malformed(f"The request head is longer than {HEAD_MAX} bytes.", 431, "RequestHeaderFieldsTooLarge")
    return None
