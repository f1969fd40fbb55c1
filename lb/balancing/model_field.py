"""Where does a body name its model? Found without building the document, which may be 32 MiB of conversation.

A reader behind us must not be able to see another `model` than we did, so a key that stands there twice, in another
case or with escapes is refused rather than guessed (RFC 8259 section 4 leaves the meaning of duplicates open; readers
in C# and Go do not mind the case).
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
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
_KEY_AND_COLON = re.compile(rb'"(?i:model)"[ \t\r\n]*:')
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"', re.DOTALL)
_STRINGS = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)[^"{}\[\]]*+)++', re.DOTALL)
"""Strings and what is no bracket between them. A string that does not end is one, too, and nothing is tried twice
(`*+`): otherwise each of its escaped quotes would be read to the end again, and 100 KB of them would hold up everybody
for minutes."""
_DULL = re.compile(
    rb'(?:[^"]++|"(?!(?i:model)"[ \t\r\n]*:)[^"\\]*+"|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"(?![ \t\r\n]*:)|\\?\Z))++',
    re.DOTALL,
)
"""Everything up to the next key that is `model` or has escapes."""
KEYS_MAX = 10_000
"""Keys that may be `model`; each costs some microseconds, during which nobody else is served."""
_ANY_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ESCAPED_LETTER = re.compile(rb"\\u00(?:[46][0-9a-fA-F]|[57][0-9aA])")
"""A Latin letter written as an escape, which no serializer does unasked."""


def find_model(body: bytes, *, whole: bool = True) -> Field | None:
    """The top-level `model` string of a JSON object, or None when there is none.

    `whole=False`: only the beginning of the body is there. Raises `Ambiguous`.
    """
    if not _OBJECT.match(body):
        return None
    keys = list(islice(_keys(body), 2))
    plain = _ESCAPED_LETTER.search(body) is None
    if plain and not keys:
        return None
    if plain and len(keys) == 1 and _is_top_level(body, keys[0], whole):
        check_key(body[keys[0] : keys[0] + len(_KEY)])
        return _value(body, keys[0])
    return _scan(body)


def begins_object(body: bytes) -> bool:
    """Is it an object, by its beginning?"""
    return _OBJECT.match(body) is not None


def _keys(body: bytes) -> Iterator[int]:
    """Positions of `"model"` tokens that are followed by a colon. Inside a string the quotes would be escaped."""
    for found in _KEY_AND_COLON.finditer(body):
        if not is_escaped(body, found.start()):
            yield found.start()


def is_escaped(body: bytes, at: int) -> bool:
    """Does a backslash take the meaning of what stands here?"""
    slashes = at
    while slashes and body[slashes - 1] == 0x5C:
        slashes -= 1
    return (at - slashes) % 2 == 1


def _is_top_level(body: bytes, at: int, whole: bool) -> bool:
    """Is the nesting one deep at `at`? Counted from the nearer end, since clients write `model` first or last."""
    if not whole or at <= len(body) // 2:
        return depth_of(body, 0, at) == 1
    return depth_of(body, at, len(body)) == -1


def depth_of(body: bytes, start: int, end: int) -> int:
    """How many brackets are opened and not closed. A loop over them would take seconds for some megabytes."""
    bare = _STRINGS.sub(b"", body[start:end])
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _value(body: bytes, key: int) -> Field | None:
    colon = _COLON.match(body, key + len(_KEY))
    found = _STRING.match(body, colon.end()) if colon else None
    return _string(found, 0) if found else None


def _string(found: re.Match[bytes], base: int) -> Field | None:
    try:
        return Field(json.loads(found[0]), base + found.start(), base + found.end())
    except ValueError:
        return None


def read_string(text: bytes, start: int, most: int) -> Field | None:
    """The string that begins `text`, which stands at `start` of the body and is cut at `most` bytes; None if there is
    another value. Raises `Ambiguous` for a string that is longer."""
    found = _STRING.match(text)
    if found is None and text.startswith(b'"') and len(text) >= most:
        raise Ambiguous("the `model` in the body is not a name that a deployment can have")
    return _string(found, start) if found else None


def _scan(body: bytes) -> Field | None:
    """Walk all that may be `model` and compare every top-level key."""
    depth, at, found, field = 0, 0, False, None
    for _ in range(KEYS_MAX):
        dull = _DULL.match(body, at)
        if dull is not None:
            depth += depth_of(body, at, dull.end())
            at = dull.end()
        key = _ANY_STRING.match(body, at)
        if key is None:
            return field
        at = key.end()
        if depth == 1 and _is_model(key[0]):
            if found:
                raise Ambiguous("the body has the key `model` twice")
            found, field = True, _value(body, at - len(_KEY))
    raise Ambiguous("the body has too many keys that may be `model`")


def _is_model(text: bytes) -> bool:
    if text == _KEY:
        return True
    try:
        name = json.loads(text) if b"\\" in text else text[1:-1].decode("latin-1")
    except ValueError:
        return False
    if isinstance(name, str) and name.lower() == "model":
        check_key(text)
    return False


def check_key(text: bytes) -> None:
    """Raises `Ambiguous` for a key that says `model`, quotes included, unless it is plain."""
    if text != _KEY:
        how = "with escapes" if b"\\" in text else "in another case"
        raise Ambiguous(f"the body writes the key `model` {how}")
