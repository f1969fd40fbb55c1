"""Finds the `usage` member of a JSON text that is too large, or not worth, to be held: only what stands behind it is.

Inside a JSON string a quotation mark is escaped, so `"usage"` with a colon behind it is always the name of a member.
It may be a member of something else, though: requests are echoed, and a tool's schema may have a property of that name.
How deep a member stands is told by what closes behind it, since the text ends at depth 0.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from lb.metering.usage import Usage, read_usage

KEY = b'"usage"'
HELD = 64 * 1024
"""Bytes that may stand behind the usage and be held. The largest of what APIs put there is the `metadata` of a
response: 16 pairs of at most 64 and 512 characters."""
TRIED = 8
"""Objects of that name, at a depth that counts, that are decoded at most: the last ones. An error costs a look at the
whole text."""
_OPENING = re.compile(r'"usage"[ \t\r\n]*:[ \t\r\n]*(?=\{)')
_PLAIN_REST = re.compile(r'(?:\s*+,\s*+"[^"\\]*+"\s*+:\s*+(?:null|true|false|"[^"\\]*+"|-?[0-9.]++))*+\s*+\}\s*+')
"""The end of a JSON text that ends in order, with no more than plain members before it."""
NEAR = 4 * 1024
"""Bytes that may stand behind it to be looked for in this way."""
_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[{}\[\]]', re.DOTALL)
"""Strings, which hide what is in them, and brackets. A string that does not end reaches to the end of the text: it is
not tried again from each quotation mark that it holds."""
_DEPTHS = {"{": -1, "[": -1, "}": 1, "]": 1}
_DECODER = json.JSONDecoder()
_COLONS = (b":", b": ")
Parse = Callable[[bytes], Any]
"""Reads a JSON text. Raises ValueError for what is none."""


class Tail:
    """Feed it the text in any pieces. Holds nothing before the first `"usage"`, and no more than `HELD` from there."""

    __slots__ = ("_edge", "_held")

    def __init__(self) -> None:
        self._edge = b""
        """The end of the last piece, in which the name may have begun."""
        self._held: bytearray | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._held is not None:
            self._held += piece
            if len(self._held) > HELD:
                self._shorten()
            return
        # The seam first: behind a name that was cut in two there may be another one.
        if self._edge and (at := (seam := self._edge + piece[: len(KEY)]).find(KEY)) >= 0:
            self._held = bytearray(seam[at:] + piece[len(KEY) :])
        elif (at := piece.find(KEY)) >= 0:
            self._held = bytearray(piece[at:])
        elif len(piece) >= len(KEY) - 1:
            self._edge = piece[1 - len(KEY) :]
        else:
            self._edge = (self._edge + piece)[1 - len(KEY) :]
        if self._held is not None and len(self._held) > HELD:
            self._shorten()

    def usage(self, deepest: int) -> Usage | None:
        """The last usage that stands no deeper than `deepest`: 1 is a member of the outermost object.

        To be asked when the text is over. In one that was cut nobody knows how deep a member stood: None.
        """
        if self._held is None:
            return None
        held = self._held.decode("utf-8", "replace")
        for at in _members(held, deepest)[: -TRIED - 1 : -1]:
            try:
                told, _ = _DECODER.raw_decode(held, at)
            except (ValueError, RecursionError):
                continue
            usage = read_usage(told)
            if usage is not None:
                return usage
        return None

    def _shorten(self) -> None:
        """Let go of the first one, and of what stands before the next: usage is among the last members."""
        held = self._held or bytearray()
        while len(held) > HELD:
            at = held.find(KEY, 1)
            if at < 0:
                self._edge = bytes(held[1 - len(KEY) :])
                self._held = None
                return
            del held[:at]


def at_the_end(text: bytes, parse: Parse = json.loads) -> Usage | None:
    """The usage of a JSON text that is all here, where it is among its last members, as nearly all backends write it.
    None: to be looked for by a `Tail`."""
    at = text.rfind(KEY)
    if at < 0 or at < len(text) - NEAR:
        return None
    opening = text.find(b"{", at)
    if opening > 0 and text[-1:] == b"}" and text[at + len(KEY) : opening] in _COLONS:
        try:  # the last member: what stands between it and the text's last bracket is one object
            return read_usage(parse(text[opening:-1]))
        except (ValueError, RecursionError):
            pass
    return _before_others(text, at)


def _before_others(text: bytes, at: int) -> Usage | None:
    """The same where plain members stand behind it, or anything is unusual."""
    last = text[at + len(KEY) :].decode("utf-8", "replace")
    opening = last.find("{")
    if opening < 0 or last[:opening].strip() != ":":
        return None
    try:
        told, end = _DECODER.raw_decode(last, opening)
    except (ValueError, RecursionError):
        return None
    return read_usage(told) if last[end:] == "}" or _PLAIN_REST.fullmatch(last, end) else None


def _members(text: str, deepest: int) -> list[int]:
    """Where the objects of that name begin that stand deep enough, and no deeper.

    How deep one stands: what closes from there on, less what opens. It is counted in one pass for all, and only those
    found are decoded, so a hostile text costs no more than another.
    """
    places = [found.end() for found in _OPENING.finditer(text)]
    if not places:
        return []
    wanted, before, closed = frozenset(places), {}, 0
    for found in _STRUCTURE.finditer(text, places[0]):
        step = _DEPTHS.get(found[0])
        if step is None:
            continue
        if found.start() in wanted:
            before[found.start()] = closed
        closed += step
    return [at for at, count in before.items() if 1 <= closed - count <= deepest]
