"""Who used what here: the endpoint's own books, to check somebody else's against."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. `cached` is part of `prompt`, `reasoning` of `completion`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion


@dataclass(slots=True)
class Row:
    """Sums for one tenant, deployment and operation."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    total: int = 0
    unreported: int = 0
    """Answers that did not say what they used: streams without a usage chunk."""
    unfinished: int = 0
    """Answers that ended early; their completion tokens are those that were sent."""


class Ledger:
    """Sums per (tenant, deployment, operation). Bounded: beyond `bound` tenants all others share the name `other`."""

    def __init__(self, bound: int = 10_000) -> None:
        self._bound = bound
        self._rows: dict[tuple[str, str, str], Row] = {}

    def add(
        self, tenant: str, deployment: str, operation: str, usage: Usage, *, reported: bool = True, whole: bool = True
    ) -> None:
        """Enter one answer."""
        row = self._row(tenant, deployment, operation)
        row.requests += 1
        row.prompt += usage.prompt
        row.completion += usage.completion
        row.cached += usage.cached
        row.reasoning += usage.reasoning
        row.total += usage.total
        row.unreported += not reported
        row.unfinished += not whole

    def _row(self, tenant: str, deployment: str, operation: str) -> Row:
        key = (tenant, deployment, operation)
        if key not in self._rows and len(self._rows) >= self._bound:
            key = ("other", deployment, operation)
        return self._rows.setdefault(key, Row())

    def sum(self, tenant: str | None = None, deployment: str | None = None, operation: str | None = None) -> Row:
        """The sums of all rows that match; None matches everything."""
        total = Row()
        for key, row in self._rows.items():
            if all(want in (None, have) for want, have in zip((tenant, deployment, operation), key, strict=True)):
                for name, value in asdict(row).items():
                    setattr(total, name, getattr(total, name) + value)
        return total

    def rows(self) -> list[dict[str, Any]]:
        """Every row, as `GET /_sim/ledger` shows it."""
        names = ("tenant", "deployment", "operation")
        return [dict(zip(names, key, strict=True)) | asdict(row) for key, row in self._rows.items()]

    def clear(self) -> None:
        self._rows.clear()
