"""Several backends' lists as one, in pages. Sans-IO: `Merge` says which page it needs next, and is fed with it.

A cursor is an object's id and lives on one backend, so the others cannot be asked for what follows it. All are read
from their beginning, in step, until the cursor comes by: the pages do not depend on what is remembered, and are the
same from every worker and replica. What is far behind costs as many questions as there are pages before it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

USUAL = 20
"""Objects of a page whose request names no limit; a backend that gives more is followed."""
WALK = 100
"""Objects of a page on the way to a cursor, or among others' objects: what every list allows."""
MOST = 100
"""Pages that one backend is asked for at most."""
_LIMITED = 10_000
RISING = frozenset({"chat", "evals"})
"""Collections whose lists begin with the oldest unless they are asked otherwise; the others with the newest."""

Item = dict[str, Any]


class Wanted(NamedTuple):
    """What a request asks of a list."""

    limit: int | None
    after: str
    before: str
    order: str
    """`asc` or `desc`."""
    told: bool
    """It names its order."""


class Question(NamedTuple):
    """A page that is needed: of this backend, behind this id."""

    backend: str
    after: str


class NotAList(ValueError):
    """What a backend answered is no list."""


class Endless(ValueError):
    """What was asked for lies deeper than anybody will look."""


class NoCursor(ValueError):
    """No backend has the object that the cursor names."""


def wanted(target: bytes, collection: str) -> Wanted:
    """Read the query; what is no number is for the backends to complain of, and here as if it were not there."""
    said = {key: unquote_to_bytes(value).decode("utf-8", "replace") for key, value, _ in _pairs(target)}
    limit = said.get(b"limit", "")
    number = int(limit) if limit.isascii() and limit.isdigit() and len(limit) <= 6 else 0
    order = said.get(b"order", "")
    usual = "asc" if collection in RISING else "desc"
    return Wanted(
        min(number, _LIMITED) or None,
        said.get(b"after", ""),
        said.get(b"before", ""),
        order if order in ("asc", "desc") else usual,
        bool(order) or usual == "desc",
    )


def page_target(target: bytes, asked: Wanted, after: str, *, filtered: bool = False) -> bytes:
    """The target of a backend's page: the client's, but for the cursor, the limit where not all that comes will be
    shown, and the order where it is not the one that all lists have.

    `filtered`: others' objects are left out. A first page without a limit is as long as the backend likes it.
    """
    walks = asked.after or asked.before or (filtered and (asked.limit or after))
    ours = (b"after", b"before", b"limit") if walks else (b"after", b"before")
    kept = [pair for key, _, pair in _pairs(target) if key not in ours]
    if walks:
        kept.append(b"limit=%d" % max(asked.limit or 0, WALK))
    if not asked.told:
        kept.append(b"order=" + asked.order.encode())
    if after:
        kept.append(b"after=" + quote_from_bytes(after.encode(), safe="").encode())
    path = target.partition(b"?")[0]
    return path + b"?" + b"&".join(kept) if kept else path


def _pairs(target: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    for pair in target.partition(b"?")[2].split(b"&"):
        if pair:
            key, _, value = pair.partition(b"=")
            yield unquote_to_bytes(key), value, pair


class _Part:
    """One backend's list, as far as it is read."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.items: deque[Item] = deque()
        self.more = True
        self.cut = False
        """It has more, but is not read any further."""
        self.last = ""
        self.pages = 0

    def feed(self, page: Any) -> int:
        """Take a page; returns how many objects it has."""
        items = page.get("data") if isinstance(page, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise NotAList(self.backend)
        last = str(items[-1].get("id") or "") if items else ""
        # A list that repeats itself, or tells of more without an end to ask behind, has no more that can be had.
        self.more = page.get("has_more") is True and last not in ("", self.last)
        if not self.pages or last != self.last:
            self.items.extend(items)
        self.last = last
        self.pages += 1
        self.cut = self.more and self.pages >= MOST
        self.more = self.more and not self.cut
        return len(items)


class Merge:
    """Takes objects from all lists in the order of their making. `shows` says which are to be seen."""

    def __init__(self, backends: Sequence[str], asked: Wanted, shows: Callable[[Item], bool]) -> None:
        self._parts = {backend: _Part(backend) for backend in backends}
        self._asked = asked
        self._shows = shows
        self._limit = asked.limit or USUAL
        self._skipping = bool(asked.after)
        self._found: list[tuple[str, Item]] = []
        self._dropped = False
        """Something stands before what was found (with `before`)."""
        self._over = False
        self._cut = False
        """What follows lies too deep."""

    @property
    def backends(self) -> list[str]:
        """From whom the objects of the page came."""
        return [backend for backend, _ in self._found[: self._limit]]

    def questions(self) -> list[Question]:
        """The pages that are needed before it can go on; none: it is done. Raises `NoCursor` or `Endless`."""
        while not self._over:
            dry = [part for part in self._parts.values() if part.more and not part.items]
            if dry:
                return [Question(part.backend, part.last) for part in dry]
            self._take()
        return []

    def feed(self, backend: str, page: Any) -> None:
        """The page that was asked for. Raises `NotAList`."""
        part = self._parts[backend]
        count = part.feed(page)
        if self._asked.limit is None and part.pages == 1 and not (self._asked.after or self._asked.before):
            self._limit = max(self._limit, count)

    def page(self) -> dict[str, Any]:
        """The page, when there are no more questions."""
        behind = bool(self._asked.before)
        items = [item for _, item in self._found[: self._limit]]
        ids = [str(item.get("id") or "") or None for item in items] or [None]
        more = self._dropped if behind else self._cut or len(self._found) > self._limit
        return {"object": "list", "data": items, "first_id": ids[0], "last_id": ids[-1], "has_more": more}

    def _take(self) -> None:
        """The next object of all."""
        if any(part.cut and not part.items for part in self._parts.values()):
            # A short page can be shown. An empty one would have no cursor to go on from, and look like the end.
            if self._skipping or self._asked.before or not self._found:
                raise Endless
            self._over = self._cut = True
            return
        ready = [part for part in self._parts.values() if part.items]
        if not ready:
            if self._skipping or self._asked.before:
                raise NoCursor(self._asked.after if self._skipping else self._asked.before)
            self._over = True
            return
        sign = 1 if self._asked.order == "asc" else -1
        part = min(ready, key=lambda part: sign * _made(part.items[0]))
        item = part.items.popleft()
        if self._skipping:
            self._skipping = item.get("id") != self._asked.after
        elif self._asked.before and item.get("id") == self._asked.before:
            self._over = True
        elif self._shows(item):
            self._keep(part.backend, item)

    def _keep(self, backend: str, item: Item) -> None:
        self._found.append((backend, item))
        if not self._asked.before:
            self._over = len(self._found) > self._limit
        elif len(self._found) > self._limit:
            del self._found[0]
            self._dropped = True


def _made(item: Item) -> float:
    """When it was made, as APIs call it."""
    for name in ("created_at", "created"):
        value = item.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return 0
