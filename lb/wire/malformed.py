"""What is wrong with a request that is not HTTP as we take it, in constant words for the client and the operator."""

from httptools import HttpParserError, HttpParserInvalidMethodError

from lb.exchange import Headers
from lb.refusal import Refusal


class Malformed(Exception):
    """What came is refused without asking anybody."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def malformed(message: str, status: int = 400, code: str = "BadRequest", headers: Headers = ()) -> Malformed:
    return Malformed(Refusal(status, code, message, headers))


TWICE_FRAMED = "The request is framed twice, by Content-Length and by Transfer-Encoding."
NO_LENGTH = "The Content-Length field is not a length."
_BAD_NAME = "A header field's name is malformed."
_FOLDED = "A header field is folded over several lines."

# llhttp's words, and ours.
_EXPLAINED = {
    "Transfer-Encoding can't be present with Content-Length": TWICE_FRAMED,
    "Content-Length can't be present with Transfer-Encoding": TWICE_FRAMED,
    "Duplicate Content-Length": "The field content-length must come once only.",
    "Invalid character in Content-Length": NO_LENGTH,
    "Empty Content-Length": NO_LENGTH,
    "Content-Length overflow": NO_LENGTH,
    "Invalid `Transfer-Encoding` header value": "The Transfer-Encoding field is malformed.",
    "Empty Transfer-Encoding": "The Transfer-Encoding field is malformed.",
    "Invalid header token": _BAD_NAME,
    "Invalid header field char": _BAD_NAME,
    "Invalid header value char": "A header field's value holds a control character.",
    "Unexpected whitespace after header value": _FOLDED,
    "Unexpected space after start line": _FOLDED,
    "Missing expected CR after header value": "A line ends with LF alone.",
    "Missing expected LF after header value": "A line ends with CR alone.",
}


def explained(error: HttpParserError) -> Malformed:
    """What llhttp refused, for a head whose first line is well-formed."""
    if isinstance(error, HttpParserInvalidMethodError):
        return malformed("The request method is unknown.", 501, "NotImplemented")
    reason = str(error)
    if reason == "Request has invalid `Transfer-Encoding`":
        return unknown_coding()
    return malformed(_EXPLAINED.get(reason, "The request head is malformed."))


def unknown_coding() -> Malformed:
    """RFC 9112 section 6.1: a transfer coding that is not understood is not implemented."""
    return malformed("This Transfer-Encoding is not supported, only chunked is.", 501, "NotImplemented")
