"""Adds `stream_options.include_usage` to a request for a chat stream: then its last chunk tells what it cost. Nothing
else of the body changes.

What is doubtful stays as it is: a key that stands there twice, options that are no object.
"""

import json
import re
from itertools import islice

from lb.balancing.model_field import depth_of, is_escaped

MOST = 8
"""Keys of one name that are looked at: each has its depth counted, and only the outermost object's is meant."""
_KEYS = {name: re.compile(rb'"%b"[ \t\r\n]*:[ \t\r\n]*' % name) for name in (b"stream", b"stream_options")}
LONGEST = 4 * 1024
"""Bytes of options that are looked into."""
_WANTED = b'"include_usage":true'
_ALREADY = re.compile(rb'"include_usage"[ \t\r\n]*:[ \t\r\n]*(false|null)')
_DECODER = json.JSONDecoder()


def with_usage(body: bytes) -> bytes | None:
    """The body that asks for usage; None where it asks already, asks for no stream, or cannot be told."""
    streams, options = _values_of(b"stream", body), _values_of(b"stream_options", body)
    if len(streams) != 1 or len(options) > 1 or not body.startswith(b"true", streams[0]):
        return None
    if options:
        return _in_options(body, options[0])
    at = streams[0] + len(b"true")
    return b'%b,"stream_options":{%b}%b' % (body[:at], _WANTED, body[at:])


def _in_options(body: bytes, start: int) -> bytes | None:
    if body.startswith(b"null", start):
        return b"%b{%b}%b" % (body[:start], _WANTED, body[start + len(b"null") :])
    text = body[start : start + LONGEST].decode("utf-8", "replace")
    try:
        options, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(options, dict) or options.get("include_usage"):
        return None
    if "include_usage" not in options:
        comma = b"," if options else b""
        return b"%b{%b%b%b" % (body[:start], _WANTED, comma, body[start + 1 :])
    said = list(_ALREADY.finditer(body, start, start + len(text[:end].encode())))
    if len(said) != 1:
        return None
    return b"%btrue%b" % (body[: said[0].start(1)], body[said[0].end(1) :])


def _values_of(name: bytes, body: bytes) -> list[int]:
    """Where the values of the outermost object's members of this name begin; two where there are too many to tell."""
    keys = [key for key in islice(_KEYS[name].finditer(body), MOST + 1) if not is_escaped(body, key.start())]
    if len(keys) > MOST:
        return [0, 0]
    return [key.end() for key in keys if _is_outer(body, key.start())]


def _is_outer(body: bytes, at: int) -> bool:
    """Counted from the nearer end."""
    return depth_of(body, 0, at) == 1 if at <= len(body) // 2 else depth_of(body, at, len(body)) == -1
