"""YAML and JSON become a plain tree in which every scalar is the text that was written.

YAML would make 8 of `010`, false of `no` and 90 of `1:30`; here a value means what it means in the environment.
"""

import json
import re
from typing import Any

import yaml

from lb.config.draft import dotted
from lb.config.settings import Path

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp", "value")
)
_NULL = "tag:yaml.org,2002:null"
_MOST_NODES = 20_000
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Unreadable(Exception):
    """The text is neither YAML nor JSON; says why in one line without quoting it, since it may hold secrets."""


class Markup:
    """The tree of one text, the line of every place in it, and what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.tree: Any = None
        self.lines: dict[Path, int] = {}
        self.problems: list[tuple[Path, str]] = []
        self._nodes = 0
        self._open: set[int] = set()
        if _UNPRINTABLE.search(text):
            raise Unreadable("found a control character; allowed is plain text")
        if not self._read_json(text):
            self._read_yaml(text)

    def _read_json(self, text: str) -> bool:
        """JSON first where it can be JSON: YAML stumbles over tabs and surrogate pairs, which are fine there."""
        if not text.lstrip().startswith("{"):
            return False
        repeated: list[str] = []

        def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            names = [name for name, _ in pairs]
            repeated.extend(sorted({name for name in names if names.count(name) > 1}))
            return dict(pairs)

        try:
            tree = json.loads(text, object_pairs_hook=mapping, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError):
            return False
        self.tree = _as_text(tree)
        self.problems.extend(((name,), "found twice; allowed is once") for name in repeated)
        return True

    def _read_yaml(self, text: str) -> None:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.tree = None if root is None else self._plain(root, ())
        except yaml.MarkedYAMLError as failed:
            at = failed.problem_mark or failed.context_mark
            line = f"line {at.line + 1}, column {at.column + 1}: " if at else ""
            raise Unreadable(f"{line}found text that is not YAML ({_why(failed)}); allowed is YAML or JSON") from None
        except yaml.YAMLError:
            raise Unreadable("found text that is not YAML; allowed is YAML or JSON") from None
        except RecursionError:
            raise Unreadable("found too many levels; allowed are at most a few") from None

    def _plain(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise Unreadable(f"found too much; allowed are {_MOST_NODES} values, aliases counted each time")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _PLAIN_TAGS:
            self.problems.append((path, f"found the tag {node.tag[:60]!r}; allowed are values without tags"))
            return None
        if isinstance(node, yaml.ScalarNode):
            return None if node.tag == _NULL else str(node.value)
        if id(node) in self._open:
            self.problems.append((path, "found an alias to what it is part of; allowed is an alias to something else"))
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._plain(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append((path, "found a name that is not plain text; allowed is `name: value`"))
                continue
            name = str(key.value)
            inner = (*path, name)
            if name in found:
                line = key.start_mark.line + 1
                self.problems.append((inner, f"found again in line {line}; allowed is once"))
                continue
            self.lines[inner] = key.start_mark.line + 1
            found[name] = self._plain(item, inner)
        return found


def _why(failed: yaml.MarkedYAMLError) -> str:
    problem = failed.problem or "cannot be read"
    if "'\\t'" in problem:
        return "a tab; indent with blanks"
    # names and characters of the text are quoted in these reasons, and they may be part of a secret
    return re.sub(r"'[^']*'|\"[^\"]*\"", "...", problem)


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def place(path: Path) -> str:
    """How a problem names a place in the file."""
    return dotted(path) or "the top level"
