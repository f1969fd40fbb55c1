"""Sessions of operators who signed in with a browser. They end with the process."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from secrets import token_urlsafe

SECONDS = 12 * 3600.0
MOST = 1000
"""Beyond that the oldest ends."""


class Sessions:
    """A session remembers the digest of the key that opened it, so that it ends when that key does."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()

    def open(self, key: bytes) -> str:
        """A new session's token."""
        token = token_urlsafe(32)
        self._open[_hidden(token)] = key, self._clock() + SECONDS
        if len(self._open) > MOST:
            self._open.popitem(last=False)
        return token

    def find(self, token: str) -> bytes | None:
        """The digest of the key that opened it. Tokens are looked up by a hash, which tells a guesser nothing."""
        key, until = self._open.get(_hidden(token), (None, 0.0))
        return key if self._clock() < until else None

    def close(self, token: str) -> None:
        """End it, if there is one."""
        self._open.pop(_hidden(token), None)


def _hidden(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
