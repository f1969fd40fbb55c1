"""One statement of one worker about one key, as it lies in shared memory.

A number and a checksum over all of it tell a reader that what it copied is whole: no order of writes between processors
is relied on.
"""

import struct
from zlib import crc32

from lb.balancing.peers import Belief, Ejection

_TEXT = 112
_BODY = struct.Struct(f"<Q16s10d3?H{_TEXT}s")
_SUM = struct.Struct("<I")
SIZE = _BODY.size + _SUM.size
Statement = tuple[bytes, Belief]


def pack(number: int, key: bytes, belief: Belief) -> bytes:
    """`SIZE` bytes. The reason is shortened to what fits."""
    until, over, ejection, served, told, reason, recalled, switched, out = belief
    changed, ends, seconds, since, silent, misconfigured = ejection
    text = reason.encode("utf-8", "replace")[:_TEXT]
    moments = until, over, changed, ends, seconds, since, served, told, recalled, switched
    body = _BODY.pack(number, key, *moments, silent, misconfigured, out, len(text), text)
    return body + _SUM.pack(crc32(body))


def number_of(raw: bytes) -> int:
    """Of a slot that is whole."""
    return int.from_bytes(raw[:8], "little")


def unpack(raw: bytes, at_least: int) -> Statement | None:
    """The key and the belief; None when it is not whole, or older than number `at_least`."""
    body = raw[: _BODY.size]
    if _SUM.unpack_from(raw, _BODY.size)[0] != crc32(body):
        return None
    number, key, until, over, changed, ends, seconds, since, served, told, recalled, switched, *rest = _BODY.unpack(
        body
    )
    silent, misconfigured, out, length, text = rest
    if number < at_least:
        return None
    ejection = Ejection(changed, ends, seconds, since, silent, misconfigured)
    reason = text[:length].decode("utf-8", "ignore")
    return key, Belief(until, over, ejection, served, told, reason, recalled, switched, out)
