"""Where lines end up: each sink takes batches of them, in the clerk's process."""

from typing import Protocol


class Sink(Protocol):
    """Raises whatever goes wrong: the same lines are then given to it again, until they are taken."""

    async def write(self, lines: list[bytes]) -> int:
        """Take all of them, or none. Returns how many it can never take and has left out."""

    async def close(self) -> None:
        """Idempotent."""
