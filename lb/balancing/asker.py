"""For whom a request is sent: which backends are its own, and its place among those who wait."""

from typing import NamedTuple


class Asker(NamedTuple):
    """`strangers` are the backends that are not the asker's own; empty where all are alike to it."""

    name: str = ""
    priority: int = 1
    """Class among those who wait: a lower number goes first."""
    weight: int = 1
    """Share among those of its class."""
    strangers: frozenset[str] = frozenset()
    pinned: bool = False
    """Never to strangers; else to them when its own cannot take a request."""

    @property
    def excluded(self) -> frozenset[str]:
        """Backends that it may not be sent to."""
        return self.strangers if self.pinned else frozenset()


ANYBODY = Asker()
