"""Watches a multipart form (RFC 7578) for a second field `model` as its bytes pass: in pieces of any size, in one pass,
keeping no more than the beginning of a line and the head of a part."""

import re
from urllib.parse import unquote_to_bytes

from lb.balancing.model_field import Ambiguous

_DISPOSITION = re.compile(rb"^content-disposition[ \t]*:[ \t]*([^;\n]*)(;.*)$", re.IGNORECASE | re.MULTILINE)
_PARAMETER = re.compile(rb';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*("[^"\\]*+(?:\\.[^"\\]*+)*+"|[^;"]*)')
_LINE = re.compile(rb"(--)?[ \t]*+(\r?\n)")
"""What follows a boundary, so that a longer one which begins alike is not taken for it."""
_OPEN = re.compile(rb"(?:-|(?:--)?[ \t]*+\r?)\Z")
"""The same, and more must come before it can be told."""
_BARE_LF = re.compile(rb"(?<!\r)\n")
_WIDE = re.compile(rb"(?:--)?[ \t]{1024}")
"""More white space than is kept; RFC 2046 allows any number of bytes of it, for mail, and no client sends one."""
_HEAD_MAX = 8192
"""Bytes of a part's head, which must be kept until it is complete; real ones have some hundred."""
_NO_BLANK = "the form has a field `model` without a blank line behind its head"
PARTS_MAX = 4096
"""Of a form; each costs some microseconds, during which nobody else is served."""


class FormScan:
    """Feed it the form. Where it says nothing, no reader has more than one field `model` in what it was fed."""

    __slots__ = ("_begun", "_carry", "_ended", "_head", "_head_at", "_mark", "_marks", "_offset", "value_at")

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"--" + boundary
        self._marks = 0
        self._carry = b""
        """The end of what was fed, where a boundary may have begun."""
        self._offset = 0
        """Where in the form `_carry` begins."""
        self._begun = False
        self._ended = False
        self._head: bytes | None = None
        """What there is of the head of a part, while it is not complete."""
        self._head_at = 0
        self.value_at = -1
        """Where in the form the value of `model` begins; negative before that."""

    def feed(self, piece: bytes) -> None:
        """The next bytes of the form. Raises `Ambiguous` before the last byte of what nobody behind us should see."""
        data, done, at = self._carry + piece if self._carry else piece, len(self._carry), 0
        while (found := data.find(self._mark, at)) >= 0 and not self._is_open(data, found):
            at = found + len(self._mark)
            line = self._delimiter(data, found)
            if line is not None:
                if self._offset + found == self.value_at:  # its blank line is the end of the line before the boundary
                    raise Ambiguous(_NO_BLANK)
                self._take(data, done, found - 2)
                self._end_part()
                done = at = line.start(2)
                self._begin_part(done, last=line[1] is not None)
        self._take(data, done, len(data))
        keep = max(at, found - 2 if found >= 0 else len(data) - len(self._mark) - 1)
        self._carry = data[keep:]
        self._offset += keep
        self._begun = self._begun or keep > 0

    def _is_open(self, data: bytes, at: int) -> bool:
        """Does the line of the boundary at `at` go on in the next piece?"""
        behind = at + len(self._mark)
        if not self._begins_line(data, at):
            return False
        if _WIDE.match(data, behind):
            raise Ambiguous("the form has a boundary with too much white space behind it")
        return _OPEN.match(data, behind) is not None

    def _begins_line(self, data: bytes, at: int) -> bool:
        return data[max(0, at - 1) : at] == b"\n" or (at == 0 and not self._begun)

    def _delimiter(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """The rest of the line, if the boundary at `at` is one. Raises `Ambiguous` if only some readers think so."""
        self._marks += 1
        if self._marks > PARTS_MAX:
            raise Ambiguous(f"the form has more than {PARTS_MAX} parts")
        if not self._begins_line(data, at):
            return None
        behind = at + len(self._mark)
        line = _LINE.match(data, behind)
        if line is None:
            if data.startswith(b"--", behind):
                raise Ambiguous("the form has a line that only some readers take for its end")
            return None
        strict = data[max(0, at - 2) : at] == b"\r\n" or (at == 0 and not self._begun)
        if not strict or line[2] == b"\n":
            raise Ambiguous("the form ends a line with LF alone")
        return line

    def _begin_part(self, at: int, *, last: bool) -> None:
        self._ended = self._ended or last
        self._head = None if self._ended else b""
        self._head_at = self._offset + at

    def _take(self, data: bytes, start: int, end: int) -> None:
        """Content came: the head of a part up to its blank line, or what does not matter."""
        if self._head is None or start >= end:
            return
        head = self._head + data[start : min(end, start + _HEAD_MAX + 4)]
        blank = head.find(b"\r\n\r\n")
        if 0 <= blank <= _HEAD_MAX:
            self._head = None
            self._judge(head[:blank])
        elif len(head) >= _HEAD_MAX + 4:
            raise Ambiguous(f"the form has a part whose head is longer than {_HEAD_MAX} bytes")
        else:
            self._head = head

    def _judge(self, head: bytes) -> None:
        if not names_model(head):
            return
        if self.value_at >= 0:
            raise Ambiguous("the form has the field `model` twice")
        if _BARE_LF.search(head):
            raise Ambiguous("the form ends a line with LF alone")
        self.value_at = self._head_at + len(head) + 4

    def _end_part(self) -> None:
        """A part without a blank line has no content for some readers."""
        if self._head and names_model(self._head):
            raise Ambiguous(_NO_BLANK)
        self._head = None


def names_model(head: bytes) -> bool:
    """Is this the head of the field `model`? Raises `Ambiguous` when readers might differ on it."""
    unfolded = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").replace(b"\r\n", b"\n")
    dispositions = _DISPOSITION.findall(unfolded)
    names = [
        (name.lower(), value.strip())
        for _, parameters in dispositions
        for name, value in _PARAMETER.findall(parameters)
        if name.lower().partition(b"*")[0] == b"name"
    ]
    plain = [value.strip(b'"') for name, value in names if name == b"name"]
    if plain == [b"model"] and len(names) == 1 and dispositions[0][0].strip().lower() == b"form-data":
        return True
    if any(value.lower() == b"model" for value in plain) or any(_reads_model(name, value) for name, value in names):
        raise Ambiguous("the form writes the name of the field `model` in an unusual way")
    return False


def _reads_model(name: bytes, value: bytes) -> bool:
    """Would some reader take this for `model`: with its backslashes or other quotes removed, or as an encoded value
    (RFC 5987)? A value in several pieces (RFC 2231) is not put together to find out."""
    if name == b"name*":
        value = unquote_to_bytes(value.rpartition(b"'")[2])
    return name not in (b"name", b"name*") or value.strip(b"\"'<>").replace(b"\\", b"").lower() == b"model"
