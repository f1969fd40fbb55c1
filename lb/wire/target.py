"""The request target: what is let through, byte for byte, and what is refused because it would be read two ways."""

import re
from urllib.parse import unquote_to_bytes

from lb.refusal import Refusal

TARGET_MAX = 16 * 1024
"""Bytes; Azure's own hosts take less, so that what we refuse would not have worked there either."""

_ORIGIN = re.compile(rb"/[!-\"$-\[\]-~]*(?:\?[!-\"$-~]*)?")
"""A path without backslash, and a query; printable ASCII without `#`. Looser than RFC 3986, as clients are."""
_ABSOLUTE = re.compile(
    rb"https?://(?:[0-9A-Za-z._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?(?=[/?]|$)", re.IGNORECASE
)
"""Scheme and authority without user information."""
_SECRETS = frozenset(
    (b"api-key", b"subscription-key", b"api_key", b"ocp-apim-subscription-key", b"x-api-key", b"authorization")
)
"""The last is how openai-node opens a WebSocket from a browser with a token of Entra."""
_MAY_BE_SECRET = re.compile(rb"key|authorization|%", re.IGNORECASE)

_PAIR = re.compile(rb"(^|[&;?])([^&;?]*)")
"""With what is before it. Few separate by `;`, but a base URL with a query of its own brings a second `?`."""

_NOT_A_PATH = Refusal(400, "BadRequest", "The request target must be a path that begins with a slash.")
_BAD_BYTES = Refusal(400, "BadRequest", "The request target holds a character that must be percent-encoded.")
_DOTS = Refusal(400, "BadRequest", "The path must not contain dot segments, escaped ones included.")
_TOO_LONG = Refusal(414, "UriTooLong", f"The request target is longer than {TARGET_MAX} bytes.")


def origin_form(target: bytes) -> bytes | Refusal:
    """The path and query of a request target, unchanged.

    Of the absolute form only these are taken: where a request goes is never the client's choice, so the authority
    decides nothing (RFC 9112 section 3.2.2 lets it stand in for Host, which decides nothing either).
    """
    if len(target) > TARGET_MAX:
        return _TOO_LONG
    if target[:1] != b"/":
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            return _NOT_A_PATH
        rest = target[absolute.end() :]
        target = rest if rest[:1] == b"/" else b"/" + rest
    if _ORIGIN.fullmatch(target) is None:
        return _BAD_BYTES
    path = target.partition(b"?")[0]
    return _DOTS if (b"/." in path or b"%" in path) and _has_dot_segment(path) else target


def _has_dot_segment(path: bytes) -> bool:
    for _ in range(3):  # a server behind us may decode more than once
        for segment in re.split(rb"[/\\]", path):
            if segment.partition(b";")[0] in (b".", b".."):
                return True
        decoded = unquote_to_bytes(path)
        if decoded == path:
            return False
        path = decoded
    return False


def without_secrets(target: bytes) -> tuple[bytes, bytes | None]:
    """The target less the keys in its query, and the first key found. Every other byte stays."""
    path, mark, query = target.partition(b"?")
    if not mark or not _MAY_BE_SECRET.search(query):
        return target, None
    key: bytes | None = None
    kept: list[bytes] = []
    for found in _PAIR.finditer(query):
        name, _, value = found[2].partition(b"=")
        if unquote_to_bytes(name).lower() in _SECRETS:
            key = _credential(value) if key is None else key
        else:
            kept.append(found[0] if kept else found[2])
    if key is None:
        return target, None
    return (path + mark + b"".join(kept) if kept else path), key


def _credential(value: bytes) -> bytes:
    """A key, or what follows `Bearer`; its blank may be written as a plus sign."""
    text = unquote_to_bytes(value)
    return text[7:].lstrip(b" +") if text[:7].lower() in (b"bearer ", b"bearer+") else text
