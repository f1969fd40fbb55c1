"""Watches a JSON object for its top-level `model`, and for a second one, as its bytes pass: in pieces of any size, in
one pass, keeping no more than the beginning of a string."""

import re

from lb.balancing.model_field import KEYS_MAX, Ambiguous, check_key, depth_of

_MODEL = rb'"(?:[mM]|\\u00[46][dD])(?:[oO]|\\u00[46][fF])(?:[dD]|\\u00[46]4)(?:[eE]|\\u00[46]5)(?:[lL]|\\u00[46][cC])"'
"""Every way to write it (RFC 8259 section 7), also in another case."""
_LONGEST = len(b'"' + rb"\u006d" * 5 + b'"')
_KEY = rb"%b(?=[ \t\r\n]*+(?::|\Z))" % _MODEL
_NAME = re.compile(_KEY)
_DULL = re.compile(rb'(?:[^"]++|(?!%b)"[^"\\]*+(?:\\.[^"\\]*+)*+")++' % _KEY, re.DOTALL)
"""Everything up to the next key that says `model`, or a string that has not ended."""
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")


class JsonScan:
    """Feed it the text. Where it says nothing, no reader has more than one key `model` in what it was fed."""

    __slots__ = ("_carry", "_depth", "_inside", "_keys", "_name", "_offset", "_seen", "_sought", "value_at")

    def __init__(self) -> None:
        self._carry = b""
        """A string that may yet say `model`, or the backslash at the end of what was fed."""
        self._inside = False
        """In a string that cannot say `model`."""
        self._depth = 0
        self._name = b""
        """A string that says `model`; it is a key if a colon follows."""
        self._keys = 0
        """Those that say `model`, at any depth."""
        self._seen = False
        self._offset = 0
        """Where in the text what is fed next begins."""
        self._sought = False
        """The value has not begun: white space stands before it."""
        self.value_at = -1
        """Where in the text the value of `model` begins; negative before that."""

    def feed(self, piece: bytes) -> None:
        """The next bytes of the text. Raises `Ambiguous` before the value that nobody behind us should see."""
        base = self._offset - len(self._carry)
        data = self._carry + piece if self._carry else piece
        self._offset += len(piece)
        self._carry = b""
        if self._sought:
            self._seek(data, 0, base)
        at = self._leave_string(data) if self._inside else 0
        while at < len(data):
            if self._name:
                at = self._colon(data, at, base)
            dull = _DULL.match(data, at)
            if dull is not None:
                self._depth += depth_of(data, at, dull.end())
                at = dull.end()
            name = _NAME.match(data, at)
            if name is None:
                self._keep(data, at)
                return
            at = name.end()
            self._count()
            if self._depth == 1:
                self._name = name[0]

    def _count(self) -> None:
        self._keys += 1
        if self._keys > KEYS_MAX:
            raise Ambiguous("the body has too many keys that may be `model`")

    def _leave_string(self, data: bytes) -> int:
        """Where the string ends that began before."""
        end = _INSIDE.match(data).end()  # type: ignore[union-attr] # it matches nothing, too
        if data[end : end + 1] == b'"':
            self._inside = False
            return end + 1
        self._carry = data[end:]
        return len(data)

    def _seek(self, data: bytes, at: int, base: int) -> None:
        """Where does the value begin?"""
        at = _SPACE.match(data, at).end()  # type: ignore[union-attr] # it matches nothing, too
        self._sought = at == len(data)
        if not self._sought:
            self.value_at = base + at

    def _colon(self, data: bytes, at: int, base: int) -> int:
        """Is it a key? Then it must be the only one of its name."""
        at = _SPACE.match(data, at).end()  # type: ignore[union-attr] # it matches nothing, too
        if at == len(data):
            return at
        name, self._name = self._name, b""
        if data[at] == 0x3A:
            check_key(name)
            if self._seen:
                raise Ambiguous("the body has the key `model` twice")
            self._seen = True
            self._seek(data, at + 1, base)
        return at

    def _keep(self, data: bytes, at: int) -> None:
        """What follows is a string that has not ended, or nothing."""
        if len(data) - at < _LONGEST:
            self._carry = data[at:]
        else:
            self._inside = True
            self._leave_string(data[at + 1 :])
