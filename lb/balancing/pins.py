"""Which backend holds which object, and whose it is: a table of fixed size, in memory that several workers may share.

An entry is a digest of the object's id, a tag of its backend, a tag of its tenant and a checksum. Eight entries share a
bucket; a new one takes the place of the one that was asked for longest ago. There are no locks: what two workers write
at once may be lost, and what is torn does not check, so that it was never there. A lost pin is learned again.
"""

from collections.abc import Callable
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple, Protocol
from zlib import crc32

WAYS = 8
NOBODY = bytes(8)
"""The tag of a tenant that is not known."""
NEWS_SIZE = 16 + 8 + 8
"""Bytes of what is told of an object: key, owner, tenant."""
_SIZE = NEWS_SIZE + 4
"""Bytes of an entry, with its checksum."""
_SUM = Struct("<I")
_BUCKET = WAYS * _SIZE
_EMPTY = bytes(_SIZE)
_FRESH = 2 * _SIZE
"""An entry that stands further back is moved to the front when it is asked for; moving each time would cost more."""


class Memory(Protocol):
    """A `bytearray` or an `mmap`."""

    def __getitem__(self, span: slice, /) -> bytes | bytearray: ...
    def __setitem__(self, span: slice, content: bytes, /) -> None: ...
    def __len__(self) -> int: ...


class Pin(NamedTuple):
    """`owner` is the tag of the backend that holds the object, `tenant` that of whose it is (or `NOBODY`)."""

    owner: bytes
    tenant: bytes


def size_of(entries: int) -> int:
    """Bytes of memory for so many entries."""
    return -(-entries // WAYS) * _BUCKET


def tag(*words: str) -> bytes:
    """Eight bytes that stand for a backend or a tenant."""
    return blake2b("\n".join(words).encode(), digest_size=8).digest()


class Pins:
    """The table over a piece of memory that begins as zeros."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._buckets = len(memory) // _BUCKET
        self.tell: Callable[[bytes], None] | None = None
        """Told of what is new, where there are replicas, as `adopt` takes it."""
        self.held = 0
        """Entries that this process has added to empty places."""

    def find(self, name: bytes) -> Pin | None:
        """Who holds the object of this name?"""
        key = blake2b(name, digest_size=16).digest()
        start, bucket = self._bucket(key)
        at = _place(bucket, key)
        if at < 0:
            return None
        if at >= _FRESH:
            self._to_front(start, bucket, at, bucket[at : at + _SIZE])
        return Pin(bucket[at + 16 : at + 24], bucket[at + 24 : at + 32])

    def learn(self, name: bytes, owner: bytes, tenant: bytes) -> None:
        """It was seen there. Whose it is never changes once it is known: who made it came first."""
        news = self._learn(blake2b(name, digest_size=16).digest(), owner, tenant)
        if news and self.tell is not None:
            self.tell(news)

    def adopt(self, news: bytes) -> None:
        """Learn what another replica was told."""
        self._learn(news[:16], news[16:24], news[24:32])

    def _learn(self, key: bytes, owner: bytes, tenant: bytes) -> bytes:
        """Returns what is new, if anything is."""
        start, bucket = self._bucket(key)
        at = _place(bucket, key)
        if at >= 0:
            before, whose = bucket[at + 16 : at + 24], bucket[at + 24 : at + 32]
            tenant = whose if whose != NOBODY else tenant
            if (before, whose) == (owner, tenant):
                return b""
        else:
            at = _free(bucket)
            self.held += bucket[at : at + _SIZE] == _EMPTY
        body = key + owner + tenant
        self._to_front(start, bucket, at, body + _SUM.pack(crc32(body)))
        return body

    def _bucket(self, key: bytes) -> tuple[int, bytes]:
        start = int.from_bytes(key[:8], "little") % self._buckets * _BUCKET
        return start, bytes(self._memory[start : start + _BUCKET])

    def _to_front(self, start: int, bucket: bytes, at: int, record: bytes) -> None:
        """Write this record first, in the place of the one that stood at `at`."""
        self._memory[start : start + at + _SIZE] = record + bucket[:at]


def _free(bucket: bytes) -> int:
    """Where a new record goes: the first empty place (they are all at the end), else the last."""
    for at in range(0, _BUCKET, _SIZE):
        if bucket[at : at + _SIZE] == _EMPTY:
            return at
    return _BUCKET - _SIZE


def _place(bucket: bytes, key: bytes) -> int:
    """Where a whole record of this key begins, or -1."""
    at = bucket.find(key)
    while at >= 0:
        if at % _SIZE == 0 and crc32(bucket[at : at + 32]) == _SUM.unpack_from(bucket, at + 32)[0]:
            return at
        at = bucket.find(key, at + 1)
    return -1
