"""Where does a body name its model? Found without building the document, which may be 32 MiB of conversation.

A reader behind us must not be able to see another `model` than we did, so a key that stands there twice or is written
with escapes is refused rather than guessed (RFC 8259 section 4 leaves the meaning of duplicates open).
"""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple


class Field(NamedTuple):
    """A value of the body, and the bytes of its text, quotes included."""

    value: str
    start: int
    end: int


class Ambiguous(ValueError):
    """The body names its model in a way that two readers may read differently."""


_KEY = b'"model"'
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{")
"""The beginning of an object; some writers put a byte order mark before it, and some readers take it."""
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"', re.DOTALL)
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
"""A string or a bracket. A string that does not end is one, too, and nothing is tried twice (`*+`): otherwise each of
its escaped quotes would be read to the end again, and 100 KB of them would hold up everybody for minutes."""
_ESCAPED_LETTER = re.compile(rb"\\u00(?:[46][0-9a-fA-F]|[57][0-9aA])")
"""A Latin letter written as an escape, which no serializer does unasked."""


def find_model(body: bytes, *, whole: bool = True) -> Field | None:
    """The top-level `model` string of a JSON object, or None when there is none.

    `whole=False`: only the beginning of the body is there. Raises `Ambiguous`.
    """
    if not _OBJECT.match(body):
        return None
    keys = list(_keys(body))
    plain = _ESCAPED_LETTER.search(body) is None
    if plain and not keys:
        return None
    if plain and len(keys) == 1 and _is_top_level(body, keys[0], whole):
        return _value(body, keys[0])
    return _scan(body)


def _keys(body: bytes) -> Iterator[int]:
    """Positions of `"model"` tokens that are followed by a colon. Inside a string the quotes would be escaped."""
    at = body.find(_KEY)
    while at >= 0:
        if not _is_escaped(body, at) and _COLON.match(body, at + len(_KEY)):
            yield at
        at = body.find(_KEY, at + len(_KEY))


def _is_escaped(body: bytes, at: int) -> bool:
    slashes = at
    while slashes and body[slashes - 1] == 0x5C:
        slashes -= 1
    return (at - slashes) % 2 == 1


def _is_top_level(body: bytes, at: int, whole: bool) -> bool:
    """Is the nesting one deep at `at`? Counted from the nearer end, since clients write `model` first or last."""
    if not whole or at <= len(body) // 2:
        return _depth(body, 0, at) == 1
    return _depth(body, at, len(body)) == -1


def _depth(body: bytes, start: int, end: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(body, start, end):
        first = body[token.start()]
        if first != 0x22:
            depth += 1 if first in b"{[" else -1
    return depth


def _value(body: bytes, key: int) -> Field | None:
    colon = _COLON.match(body, key + len(_KEY))
    found = _STRING.match(body, colon.end()) if colon else None
    if found is None:
        return None
    try:
        return Field(json.loads(found[0]), *found.span())
    except ValueError:
        return None


def _scan(body: bytes) -> Field | None:
    """Walk all tokens and compare every top-level key."""
    depth, found, field = 0, False, None
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first != 0x22:
            depth += 1 if first in b"{[" else -1
        elif depth == 1 and _COLON.match(body, token.end()) and _is_model(token[0]):
            if found:
                raise Ambiguous("the body has the key `model` twice")
            found, field = True, _value(body, token.end() - len(_KEY))
    return field


def _is_model(text: bytes) -> bool:
    if text == _KEY:
        return True
    if b"\\" not in text:
        return False
    try:
        name = json.loads(text)
    except ValueError:
        return False
    if name == "model":
        raise Ambiguous("the body writes the key `model` with escapes")
    return False
