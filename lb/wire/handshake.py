"""The opening handshake of a WebSocket, both ways: what a client asks for, and whether a backend's 101 grants it.

RFC 6455 section 4. A wish for any other protocol is no wish here: an upgrade may always be ignored (RFC 9110 7.8).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from lb.exchange import Handshake, Headers
from lb.wire.headers import filtered_head, named_by
from lb.wire.malformed import malformed
from lb.wire.target import without_secrets

if TYPE_CHECKING:
    from lb.wire.head import Head

KEY_PREFIX: Final = b"openai-insecure-api-key."
"""How OpenAI's SDK sends a key from a browser, whose WebSockets cannot set header fields: as a subprotocol."""
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION: Final = b"13"
_UPGRADE: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


def heed_handshake(head: Head) -> None:
    """Note what a head asks for whose Connection names Upgrade. Raises `Malformed`.

    What is no GET of HTTP/1.1 for a WebSocket is left as it is: a plain request.
    """
    fields = head.fields
    if head.method != "GET" or not head.modern or b"websocket" not in named_by((fields[b"upgrade"],)):
        return
    if fields.get(b"sec-websocket-version") != _VERSION:
        # RFC 6455 section 4.4: the refusal says what would be understood.
        told = ((b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", _VERSION))
        raise malformed("The Sec-WebSocket-Version field must be 13.", 426, "UpgradeRequired", told)
    if head.bodied:
        raise malformed("A WebSocket handshake has no body.")
    key = fields.get(b"sec-websocket-key", b"")
    if not _is_nonce(key):
        raise malformed("The Sec-WebSocket-Key field is not 16 bytes in base64.")
    offered = _listed(fields.get(b"sec-websocket-protocol", b""))
    keys = [name for name in offered if name.startswith(KEY_PREFIX)]
    if keys:
        head.protocol_key = keys[0][len(KEY_PREFIX) :]
    head.handshake = Handshake(key, tuple([name for name in offered if name not in keys]))


def _is_nonce(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def _listed(value: bytes) -> list[bytes]:
    """The subprotocols that a field lists. Raises `Malformed`."""
    names = [name.strip(b" \t") for name in value.split(b",")]
    names = [name for name in names if name]
    if len(set(names)) < len(names) or not all(map(_TOKEN.fullmatch, names)):
        raise malformed("The Sec-WebSocket-Protocol field must list different names.")
    return names


def request_fields(handshake: Handshake) -> bytes:
    """The handshake's fields toward a backend.

    Extensions are not offered: messages that are compressed would hide what they cost, and nothing else is in use.
    """
    protocols = b""
    if handshake.protocols:
        protocols = b"Sec-WebSocket-Protocol: %b\r\n" % b", ".join(handshake.protocols)
    return b"%bSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n%b" % (_UPGRADE, handshake.key, protocols)


def refusal_of(handshake: Handshake, fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Why this 101 does not grant the handshake (RFC 6455 section 4.1, what clients validate); None if it does."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        lower = name.lower()
        found[lower] = found[lower] + b", " + value if lower in found else value
    upgrades = named_by((found.get(b"upgrade", b""),)) == {b"websocket"}
    if not upgrades or b"upgrade" not in named_by((found.get(b"connection", b""),)):
        return "it switched protocols, but not to a WebSocket"
    if found.get(b"sec-websocket-accept", b"").strip(b" \t") != accept_of(handshake.key):
        return "its Sec-WebSocket-Accept does not answer the key"
    if b"sec-websocket-extensions" in found:
        return "it chose a WebSocket extension, and none was offered"
    chosen = found.get(b"sec-websocket-protocol")
    if chosen is not None and chosen.strip(b" \t") not in handshake.protocols:
        return "it chose a WebSocket subprotocol that was not offered"
    return None


def accept_of(key: bytes) -> bytes:
    """The answer to a key: proof that whoever switches has read the handshake (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def switching_head(reason: bytes, headers: Headers, extra: bytes) -> bytes:
    """A backend's 101 as the client gets it, with `extra` fields."""
    return filtered_head(101, reason, headers, False, b"%b%b\r\n" % (extra, _UPGRADE))


def without_location_keys(headers: Headers) -> Headers:
    """Azure was seen to answer a handshake with a redirect whose address holds a key: ours is nobody's business."""
    return [
        (name, without_secrets(value)[0]) if name.lower() == b"location" else (name, value) for name, value in headers
    ]
