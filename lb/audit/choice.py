"""Whose requests are recorded, and which of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from random import Random

_SCALE = float(2**64)


class Who(StrEnum):
    """How many of somebody's requests are recorded."""

    ALL = "all"
    SAMPLE = "sample"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Choice:
    """`by_tenant` has tenants that say it themselves; what holds for all others is `default`."""

    default: Who = Who.ALL
    share: float = 1.0
    """Of the requests of those of whom a sample is recorded, from 0 to 1."""
    by_tenant: Mapping[str, Who] = field(default_factory=dict)

    def of(self, tenant: str | None) -> Who:
        """What holds for this tenant, or for who is none."""
        return self.by_tenant.get((tenant or "").lower(), self.default)

    @property
    def anybody(self) -> bool:
        """Is there anything to record at all?"""
        return self.default is not Who.NONE or any(who is not Who.NONE for who in self.by_tenant.values())


class Sampling:
    """Tells by a request's id whether it is in the sample: the same id, the same answer, as long as this lives.

    Clients may choose their ids, so a secret goes into it: nobody can choose ids that are never in the sample.
    """

    def __init__(self, rng: Random) -> None:
        self._secret = rng.randbytes(16)

    def has(self, request_id: str, share: float) -> bool:
        digest = blake2b(request_id.encode("utf-8", "replace"), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest) / _SCALE < share
