"""A reply that is put aside: not worth relaying yet, but perhaps the best that there will be."""

from lb.balancing.backend import Backend
from lb.exchange import Reply


class Kept:
    """One reply, open, and who gave it; or none."""

    __slots__ = ("_by", "_reply")

    def __init__(self) -> None:
        self._reply: Reply | None = None
        self._by: Backend | None = None

    def __bool__(self) -> bool:
        return self._reply is not None

    def put(self, reply: Reply, by: Backend) -> None:
        """Keep this one, in the place of another."""
        self.forget()
        self._reply, self._by = reply, by

    def take(self) -> tuple[Reply, Backend]:
        """Hand it out, to be relayed. There must be one."""
        assert self._reply is not None  # noqa: S101 - callers have looked
        assert self._by is not None  # noqa: S101 - likewise
        found = self._reply, self._by
        self._reply = self._by = None
        return found

    def forget(self) -> None:
        """Close it."""
        if self._reply is not None:
            self._reply.close()
            self._reply = self._by = None
