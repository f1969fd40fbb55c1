"""What was said, before anybody has judged it: a tree of texts, and for every place in it who said it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lb.config.settings import Path

Tree = dict[str, Any]
"""Mappings, lists and texts, as the file has them."""


class Source(Enum):
    """Who said it."""

    OPTION = "command line"
    ENVIRONMENT = "environment"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was said: `LB_PORT`, or `listen.port` with the file and the line."""

    source: Source
    name: str
    where: str = ""
    """` (lb.yaml, line 3)`; nothing for a variable."""
    stands_for: str = ""
    """`${NAME}`, when that is how the value came in: then it is shown like this in a problem."""

    def __str__(self) -> str:
        return self.name + self.where


@dataclass(slots=True)
class Draft:
    """A tree, its origins, and the problems met while reading it."""

    tree: Tree = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)
    """Places that a problem was told of already: what is made of their values is not told again."""

    overruled: list[str] = field(default_factory=list)
    """Sections of the file that the environment replaces as a whole."""
    unread: list[str] = field(default_factory=list)
    """Variables that a user of OpenTelemetry would expect to be read, and that are not."""

    def is_broken(self, path: Path) -> bool:
        """Was a problem told of this place, of what it is part of, or of a part of it?"""
        return any(path[: len(place)] == place[: len(path)] for place in self.broken)

    def put(self, path: tuple[str, ...], value: object, origin: Origin) -> None:
        """Set one value below mappings only; whatever was there, or in its way, goes."""
        branch = self.tree
        for step in path[:-1]:
            if not isinstance(branch.get(step), dict):
                branch[step] = {}
            branch = branch[step]
        branch[path[-1]] = value
        self.forget(path)
        self.origins[path] = origin

    def forget(self, path: Path) -> None:
        """Drop who said this place and everything below it, and what was wrong there."""
        self.broken = {place for place in self.broken if place[: len(path)] != path}
        self.origins = {known: origin for known, origin in self.origins.items() if known[: len(path)] != path}

    def drop(self, paths: Collection[Path]) -> None:
        """Take values out: the whole item where one is in a list of sections, so that later items move up, and the
        whole section where it misses a value."""
        items = {path[:2] for path in paths if self._is_item(path[:2])}
        for section, index in sorted(items, key=lambda item: int(item[1]), reverse=True):
            self._drop_item(str(section), int(index))
        for path in paths:
            if path[:2] not in items:
                self._drop_value(path)

    def _is_item(self, path: Path) -> bool:
        return len(path) == 2 and isinstance(path[1], int) and isinstance(self.tree.get(str(path[0])), list)

    def _drop_value(self, path: Path) -> None:
        branch: Any = self.tree
        for step in path[:-1]:
            branch = branch.get(step) if isinstance(branch, dict) else None
        if isinstance(branch, dict) and path[-1] in branch:
            del branch[path[-1]]
            self.forget(path)
        elif len(path) > 1:
            self._drop_value(path[:-1])

    def _drop_item(self, section: str, index: int) -> None:
        del self.tree[section][index]
        self.forget((section, index))
        moved: dict[Path, Origin] = {}
        for path, origin in self.origins.items():
            if path[0] == section and len(path) > 1 and isinstance(path[1], int) and path[1] > index:
                path = (section, path[1] - 1, *path[2:])
            moved[path] = origin
        self.origins = moved


def dotted(path: Path) -> str:
    """`backends[0].url`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
