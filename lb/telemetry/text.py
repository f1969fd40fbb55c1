"""What strangers send, made fit for one line of a log: no newline, no terminal escape, no secret."""

import json
import re
from urllib.parse import unquote_plus

LONGEST = 2048
"""Characters of one value that a line shows; a pipe takes 4096 bytes in one piece."""
MASK = "***"

_SECRET = re.compile(r"key|token|secret|passw|pwd|credential|auth|assertion|^sig$|signature|^code$", re.IGNORECASE)
_OTHER_SEPARATORS = re.compile("[;?]")  # a second `?` comes from a base URL that has a query of its own
_USERINFO = re.compile(r"//[^/@]*@")


def loggable_url(url: str) -> str:
    """A configured URL without the user and password that may stand in it."""
    return _USERINFO.sub(f"//{MASK}@", printable(url))


def loggable_target(target: bytes) -> str:
    """Path and query as a line shows them: values of secrets masked, bytes that no URL has percent-encoded, and never
    a character that JSON would escape."""
    path, mark, query = target.decode("latin-1").partition("?")
    if mark:
        query = "&".join([_masked(pair) for pair in query.split("&")])
    return shortened("".join([c if _plain(c) else f"%{ord(c):02X}" for c in path + mark + query]))


def _masked(pair: str) -> str:
    name, equals, value = pair.partition("=")
    names = [part.partition("=")[0] for part in _OTHER_SEPARATORS.split(pair)]
    secret = any(_SECRET.search(unquote_plus(name)) for name in names)
    return f"{name}={MASK}" if value and secret else name + equals + value


def _plain(char: str) -> bool:
    return "!" <= char <= "~" and char not in '"\\'


def shortened(text: str) -> str:
    """At most `LONGEST` characters, and a sign where something was left out."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def printable(text: str) -> str:
    """The text with everything that could start a line or steer a terminal written as an escape.

    `str.isprintable` is false for controls (C0, DEL, C1), line and paragraph separators, text-direction overrides and
    lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in text])


def json_string(text: str) -> str:
    """The text as a JSON string, quotes included, by the rule of `printable`."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return escape_json(json.dumps(text, ensure_ascii=False))


def escape_json(rendered: str) -> str:
    """Escape what is not printable in rendered JSON; in compact JSON that stands in strings only."""
    if rendered.isprintable():
        return rendered
    return "".join([c if c.isprintable() else _escape(c) for c in rendered])


def _escape(char: str) -> str:
    lone_surrogate = 0xD800 <= ord(char) <= 0xDFFF  # strict readers refuse a whole line for one, even escaped
    return "\\ufffd" if lone_surrogate else json.dumps(char)[1:-1]
