"""Objects of one kind by their ids: found, stepped along, listed in pages, and all together bounded in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lb.sim.objects.missing import Missing

Body = dict[str, Any]
Step = Callable[[int], Body]
"""What changes in an object when somebody looks at it the next time; it is told the date in seconds since 1970."""

LEAST_WEIGHT = 2048
"""Bytes that the smallest object is taken to weigh."""
PAGE = 20
LONGEST_PAGE = 100


class Room:
    """The space that all shelves of a resource share; whatever came longest ago makes room for what comes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held: OrderedDict[tuple[Shelf, str], int] = OrderedDict()
        self.bytes = 0

    def take(self, shelf: "Shelf", name: str, weight: int) -> None:
        """Count an object in. One that is heavier than the whole room is alone in it."""
        self._held[shelf, name] = weight
        self.bytes += weight
        while self.bytes > self._most_bytes and len(self._held) > 1:
            oldest, former = next(iter(self._held))
            oldest.forget(former)

    def give(self, shelf: "Shelf", name: str) -> None:
        """Count an object out."""
        self.bytes -= self._held.pop((shelf, name), 0)


@dataclass(slots=True)
class Kept:
    """One object: what is shown of it, what will become of it, and what belongs to it."""

    body: Body
    steps: list[Step] = field(default_factory=list)
    """A job goes one step further each time that it is looked at, so that no test has to wait for it."""
    inner: Any = None
    """Content, or shelves of objects that belong to this one. If it has a `clear` it is called at the end."""

    def step(self, today: int) -> Body:
        """Look at it."""
        if self.steps:
            self.body |= self.steps.pop(0)(today)
        return self.body


class Shelf:
    """The objects of one kind that one resource has. To ask for an id that it does not have raises `Refused`."""

    def __init__(self, missing: Missing, room: Room) -> None:
        self._missing = missing
        self._room = room
        self._kept: dict[str, Kept] = {}

    def add(self, body: Body, weight: int = 0, steps: Sequence[Step] = (), inner: Any = None) -> Kept:
        """Keep an object; `weight` is the bytes of the request that made it, or of its content."""
        name = body["id"]
        self.forget(name)
        kept = self._kept[name] = Kept(body, list(steps), inner)
        self._room.take(self, name, weight + LEAST_WEIGHT)
        return kept

    def has(self, name: object) -> bool:
        return isinstance(name, str) and name in self._kept

    def find(self, name: object) -> Kept:
        """The object of that id. Raises Refused."""
        if not isinstance(name, str) or name not in self._kept:
            raise self._missing(name)
        return self._kept[name]

    def look(self, name: object, today: int) -> Body:
        """Show the object of that id, one step further than before. Raises Refused."""
        return self.find(name).step(today)

    def drop(self, name: object) -> None:
        """Delete an object. Raises Refused."""
        self.find(name)
        self.forget(str(name))

    def forget(self, name: str) -> None:
        """Let it go, with all that belongs to it; one that is not there is no mistake."""
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._room.give(self, name)
            if clear := getattr(kept.inner, "clear", None):
                clear()

    def clear(self) -> None:
        """Let all go."""
        for name in list(self._kept):
            self.forget(name)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)

    def page(
        self,
        query: Mapping[str, str],
        fits: Callable[[Body], bool] | None = None,
        usual: int = PAGE,
        longest: int = LONGEST_PAGE,
    ) -> Body:
        """A page of the list, newest first unless `order=asc`; `after` and `before` are ids. Raises Refused.

        It is `usual` long where the query does not name a `limit`, and at most `longest`.
        """
        bodies = [kept.body for kept in self._kept.values()]
        return page(bodies if fits is None else list(filter(fits, bodies)), query, self._missing, usual, longest)


def page(
    bodies: list[Body], query: Mapping[str, str], missing: Missing, usual: int = PAGE, longest: int = LONGEST_PAGE
) -> Body:
    """A page of objects that are given oldest first."""
    listed = bodies if query.get("order") == "asc" else bodies[::-1]
    after, before = query.get("after"), query.get("before")
    ids = [body["id"] for body in listed]
    for cursor in (after, before):
        if cursor and cursor not in ids:
            raise missing(cursor)
    rest = listed[ids.index(after) + 1 if after else 0 : ids.index(before) if before else None]
    said = query.get("limit", "")[:6]
    limit = max(1, min(int(said) if said.isdecimal() else usual, longest))
    shown = rest[:limit]
    first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
    return {"object": "list", "data": shown, "first_id": first, "last_id": last, "has_more": len(rest) > limit}
