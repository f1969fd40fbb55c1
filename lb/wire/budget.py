"""How much all bodies may take together, of memory or of the disk."""


class Budget:
    """Bytes that are held. What only passes may go a quarter beyond `limit`."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Reserve for a body that is kept; False when that is too much."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def overdraw(self, size: int) -> bool:
        """Reserve for a piece of a body that is only passing; False when even that is too much."""
        if self.used + size > self.limit + self.limit // 4:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        """Return what was reserved."""
        self.used -= size
