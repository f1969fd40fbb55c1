"""Encrypted reasoning: what one resource has sealed no other can open. In the form of a Fernet token, as Azure's is."""

import base64
import binascii
import hashlib
import hmac
import secrets

VERSION = b"\x80"
CLOCK_BYTES, NONCE_BYTES, MAC_BYTES = 8, 16, 32
THOUGHT_BYTES = 256


class Seal:
    """Has a key of its own, which nobody else ever sees."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def close(self, now: int) -> str:
        """Some encrypted thoughts; `now` in seconds since 1970."""
        told = VERSION + now.to_bytes(CLOCK_BYTES, "big") + secrets.token_bytes(NONCE_BYTES + THOUGHT_BYTES)
        return base64.urlsafe_b64encode(told + self._mac(told)).decode()

    def opens(self, content: object) -> bool:
        """Was this made here?"""
        if not isinstance(content, str):
            return False
        try:
            raw = base64.b64decode(content, b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(self._mac(raw[:-MAC_BYTES]), raw[-MAC_BYTES:])

    def _mac(self, told: bytes) -> bytes:
        return hmac.new(self._key, told, hashlib.sha256).digest()
