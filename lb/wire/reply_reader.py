"""Where a backend's reply begins and ends: bytes in, head and body pieces out, no sockets (RFC 9112 sections 4 to 7).

httptools checks the head and undoes the chunked coding. It is fed whole heads only, so that the end of the head, and
with it every byte after the reply, is known exactly. Bodies framed by length or by the connection's end pass untouched.
"""

from collections.abc import Callable, Sequence
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from lb.exchange import Handshake, Headers
from lb.wire.handshake import refusal_of
from lb.wire.plain_head import plain_head
from lb.wire.reply_rules import CONTROLS, VERSIONS, ends_exactly, framing, hopeless

HEAD_LIMIT: Final = 64 * 1024
"""Bytes of one reply's heads together, interim ones included; also of chunk framing or trailers without a body byte."""

_UNTIL_END: Final = -1

_UNASKED: Final = "it switched protocols, which nobody had asked for"

Interim = Callable[[int, Headers], None]


class ReplyReader:
    """Reads one reply. `fault`, once set, says what is wrong with it; nothing more is then read.

    `done` is set by the end of the body as well as by a fault, so that the hot path has one flag to look at.
    """

    # Defaults stand here, and not in `__init__`, since there is a reader for each request and most need few of them.
    status = 0
    """0 until the final head is there."""
    reason = b""
    raw = b""
    """The final head as it came, if it is plain: `headers` are then not told apart."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    length: int | None = None
    persistent = False
    """Both the head and the framing allow another reply on this connection."""
    clean = True
    """Nothing came after the reply that nobody had asked for."""
    ended = False
    fault: str | None = None
    done = False
    _parser: HttpResponseParser | None = None
    _partial = b""
    _size = 0
    _old = False
    _chunked = False
    _left = 0
    _barren = 0
    _whole = 0

    def __init__(
        self, bodiless: bool = False, interim: Interim | None = None, handshake: Handshake | None = None
    ) -> None:
        """`bodiless`: the request was a HEAD. `interim` is told each 1xx reply but the 101 that grants `handshake`:
        that is final, and its body is all that follows."""
        self._bodiless = bodiless
        self._interim = interim
        self._handshake = handshake

    def feed(self, data: bytes) -> bytes:
        """Take what one read brought; return the body bytes in it, joined."""
        if self._chunked:
            return self._unchunk(data)
        if not self.status:
            return self._read_head(data)
        left = self._left
        if left == _UNTIL_END:
            return data
        if len(data) < left:
            self._left = left - len(data)
            return data
        self.ended = self.done = True
        if len(data) > left:
            self.clean = False
            return data[:left]
        return data

    def eof(self) -> bool:
        """The backend closed its side: was that the end of the body?"""
        if self.status and self._left == _UNTIL_END:
            self.ended = self.done = True
        return self.ended

    @property
    def begun(self) -> bool:
        """Has any byte come?"""
        return bool(self.status or self._size or self._partial)

    def _unchunk(self, data: bytes) -> bytes:
        pieces = self._pieces
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr] # there until the end, and asserting costs
        except HttpParserError as error:
            self._wrong_after_head(str(error))
        if self.ended:
            self._parser = None  # they hold each other
            del pieces[self._whole :]  # another reply's
            if not ends_exactly(data):
                self.clean = False
        if not pieces:
            self._barren += len(data)
            if self._barren > HEAD_LIMIT and not self.done:
                self._wrong(f"more than {HEAD_LIMIT} bytes of chunk framing or trailers in a row")
            return b""
        self._barren = 0
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return body

    def _read_head(self, data: bytes) -> bytes:
        if self._partial:
            data = self._partial + data
            self._partial = b""
        plain = plain_head(data)
        if plain is not None and self._size + plain.end <= HEAD_LIMIT:
            self.status, self.reason, self.length, self._size = plain.status, plain.reason, plain.length, plain.end
            self.raw = data[: plain.end]
            self.persistent = True
            return self._begin_body(data[plain.end :])
        while not self.done:
            end = data.find(b"\r\n\r\n") + 4
            if end == 3:
                self._wait_for_more(data)
                return b""
            self._size += end
            if self._size > HEAD_LIMIT:
                self._wrong(f"its head is larger than {HEAD_LIMIT} bytes")
                return b""
            head = data[:end]
            self._parse(head)
            data = data[end:]
            if self.status:
                return self._begin_body(data)
        return b""

    def _wait_for_more(self, data: bytes) -> None:
        self._partial = data
        if self._size + len(data) > HEAD_LIMIT:
            self._wrong(f"its head is larger than {HEAD_LIMIT} bytes")
        elif why := hopeless(data):
            self._wrong(why)

    def _parse(self, head: bytes) -> None:
        if not head.startswith(VERSIONS):
            self._wrong("what came is not HTTP/1.1")
            return
        self._old = head.startswith(VERSIONS[1])
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # the parser then calls into C, not back into Python, for every piece
        self._parser = HttpResponseParser(self)
        try:
            self._parser.feed_data(head)
        except HttpParserUpgrade:
            if self.status != 101:
                self._wrong(_UNASKED)
        except HttpParserError as error:
            self._wrong(str(error))

    def on_status(self, reason: bytes) -> None:
        self.reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers come here, too, and are dropped: a proxy may (RFC 9110 section 6.5.1), Azure sends none, and fields
        that come after the commit point could only contradict what the head said."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self.status:  # a second reply behind the one that was asked for
            self.clean = False
            return
        assert self._parser is not None  # noqa: S101 - it is the caller
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        try:
            length, chunked = framing(fields, self._old)
        except ValueError as error:
            self._wrong(str(error))
            return
        if not self.reason.isalnum() and CONTROLS.search(self.reason):
            self._wrong("control characters in its reason phrase")
        elif status >= 200:
            # Only inside the parser's callbacks does it still know the answer.
            self.persistent = self._parser.should_keep_alive()
            self.status, self.headers, self.length, self._chunked = status, fields, length, chunked
        else:
            self._pass_interim(status, fields, bool(length or chunked))

    def on_message_complete(self) -> None:
        if self._chunked and not self.ended:
            self.ended = self.done = True
            self._whole = len(self._pieces)

    def _pass_interim(self, status: int, fields: list[tuple[bytes, bytes]], framed: bool) -> None:
        if status < 100:
            self._wrong(f"its status is {status:03}")
        elif framed:
            self._wrong(f"an interim reply ({status}) with a body")
        elif status == 101:
            self._switch(fields)
            return
        elif self._interim is not None:
            self._interim(status, fields)
        self.reason = b""

    def _switch(self, fields: list[tuple[bytes, bytes]]) -> None:
        why = _UNASKED if self._handshake is None else refusal_of(self._handshake, fields)
        if why is not None:
            self._wrong(why)
        else:
            self.status, self.headers = 101, fields

    def _begin_body(self, rest: bytes) -> bytes:
        if self._bodiless or self.status in (204, 304):
            self.length, self._chunked = 0, False
        if self._chunked:
            return self._unchunk(rest) if rest else b""
        self._parser = None
        self._left = _UNTIL_END if self.length is None else self.length
        return self.feed(rest) if rest or self._left == 0 else b""

    def _wrong(self, why: str) -> None:
        if self.fault is None:
            self.fault = why
        self.done = True

    def _wrong_after_head(self, why: str) -> None:
        if self.ended:
            self.clean = False
        else:
            self._wrong(why)
