"""The chunked coding of a request body (RFC 9112 section 7.1), sans-IO and strict: the end must be known to the byte,
which llhttp does not tell, since what follows is the next request."""

import re
from collections.abc import Callable

from lb.wire.malformed import malformed

_LINE_MAX = 1024
_TRAILERS_MAX = 8 * 1024
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Extensions as RFC 9112 section 7.1.1 has them, without the blanks that it allows and llhttp refuses.
_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,15})"
    rb"(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*'
)
_TRAILER = re.compile(_TOKEN + rb":[\t -~\x80-\xff]*")


class ChunkedBody:
    """Feed it what the socket gives; it hands on what is body and tells what comes after."""

    __slots__ = ("_after_chunk", "_left", "_rest", "_trailers")

    def __init__(self) -> None:
        self._left = 0
        self._after_chunk = False
        self._trailers = -1
        """Bytes of trailer lines so far; negative before the last chunk."""
        self._rest = b""

    def feed(self, received: bytes, take: Callable[[bytes], None]) -> bytes | None:
        """Pass each piece of body to `take`. What follows the body once it has ended, else None. Raises `Malformed`."""
        if self._rest:
            received = self._rest + received
            self._rest = b""
        at = 0
        while True:
            if self._left:
                piece = received[at : at + self._left]
                if not piece:
                    return None
                self._left -= len(piece)
                at += len(piece)
                self._after_chunk = not self._left
                take(piece)
                continue
            end = self._line_end(received, at)
            if end < 0:
                self._rest = received[at:]
                return None
            if self._ends_with(received[at:end]):
                return received[end + 2 :]
            at = end + 2

    def _line_end(self, received: bytes, at: int) -> int:
        end = received.find(b"\r\n", at, at + _LINE_MAX)
        if end < 0:
            rest = received[at : at + _LINE_MAX]
            if len(rest) == _LINE_MAX:
                raise malformed("A line between the chunks of the body is too long.")
            if b"\n" in rest or (self._after_chunk and rest not in (b"", b"\r")):
                raise malformed("The chunks of the body are malformed.")
        return end

    def _ends_with(self, line: bytes) -> bool:
        if self._after_chunk:
            if line:
                raise malformed("The chunks of the body are malformed.")
            self._after_chunk = False
            return False
        if self._trailers >= 0:
            return self._ends_with_trailer(line)
        match = _SIZE.fullmatch(line)
        if match is None:
            raise malformed("A chunk size of the body is malformed.")
        self._left = int(match[1], 16)
        if not self._left:
            self._trailers = 0
        return False

    def _ends_with_trailer(self, line: bytes) -> bool:
        if not line:
            return True
        self._trailers += len(line)
        if self._trailers > _TRAILERS_MAX or _TRAILER.fullmatch(line) is None:
            raise malformed("The trailers of the body are malformed or too long.")
        return False
