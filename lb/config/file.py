"""The configuration file, or the same text in LB_CONFIG_INLINE, becomes a draft."""

import re
from collections.abc import Container, Mapping
from pathlib import Path as FilePath
from typing import Any

from lb.config.draft import Draft, Origin, Source
from lb.config.markup import Markup, Unreadable, place
from lb.config.settings import BY_PATH, CONFIG_INLINE, SECTIONS, Path

MOST_BYTES = 4 * 2**20
_REFERENCE = re.compile(r"\$(\$)?\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECTION = "allowed is a section, `name: value` in each line"
_ENVIRONMENTS = "only the environment says this, since libraries read it there, too"
_NOWHERE = {"platform": _ENVIRONMENTS}


def read_text(path: str, named_by: str, draft: Draft) -> str | None:
    """The file's text, or None and a problem."""
    if "\n" in path or path.startswith("{"):
        draft.problems.append(f"{named_by}: found configuration text; allowed is a path, text goes to {CONFIG_INLINE}")
        return None
    file = FilePath(path)
    try:
        if file.exists() and not file.is_file():
            kind = "a directory" if file.is_dir() else "no regular file"
            draft.problems.append(f"{named_by}: found {kind} at {path!r}; allowed is a YAML or JSON file")
            return None
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            draft.problems.append(f"{named_by}: found more than 4 MiB in {path!r}; allowed is a file up to 4 MiB")
            return None
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failed:
        draft.problems.append(
            f"{named_by}: found a byte that is not UTF-8 in {path!r} at {failed.start}; allowed is UTF-8"
        )
    except (OSError, ValueError) as failed:
        reason = getattr(failed, "strerror", None) or "no path"
        draft.problems.append(
            f"{named_by}: found no readable file at {path!r} ({reason}); allowed is a YAML or JSON file"
        )
    return None


def read_file(text: str, source: str, environ: Mapping[str, str], replaced: Container[str], draft: Draft) -> None:
    """Fill the draft from the text. `source` is the file's path or LB_CONFIG_INLINE.

    Sections in `replaced` come from the environment instead and are not looked at.
    """
    try:
        markup = Markup(text)
    except Unreadable as failed:
        draft.problems.append(f"{source}: {failed}")
        draft.broken.add(("backends",))
        return
    if isinstance(markup.tree, dict):
        _fill(markup, source, environ, replaced, draft)
    elif markup.tree is not None:
        kind = "a list" if isinstance(markup.tree, list) else "a single value"
        draft.problems.append(f"{source}: found {kind}; allowed are sections such as `backends:`")


def _fill(markup: Markup, source: str, environ: Mapping[str, str], replaced: Container[str], draft: Draft) -> None:
    filling = _Filling(markup, source, environ, draft)
    for path, problem in markup.problems:
        if not path or path[0] not in replaced:
            filling.tell(path, problem)
    for section, value in markup.tree.items():
        if section in replaced:
            draft.overruled.append(section)
        elif section in _NOWHERE:
            filling.tell((section,), f"found; {_NOWHERE[section]}; allowed is to leave it out")
        elif section in SECTIONS and value is not None and not isinstance(value, dict):
            # said here, since a variable of the environment would make a section of it
            filling.tell((section,), f"found a {'list' if isinstance(value, list) else 'single value'}; {_SECTION}")
        elif value is not None:
            filling.refuse_environments_own(section, value)
            draft.tree[section] = filling.filled(value, (section,))
            draft.origins.setdefault((section,), filling.origin((section,)))


class _Filling:
    """Takes over values with `${NAME}` filled in. It happens after parsing, so a value can never become structure."""

    def __init__(self, markup: Markup, source: str, environ: Mapping[str, str], draft: Draft) -> None:
        self._markup = markup
        self._source = source
        self._environ = {name.upper(): value for name, value in environ.items()} | dict(environ)
        self._draft = draft

    def origin(self, path: Path, stands_for: str = "") -> Origin:
        line = self._markup.lines.get(path)
        where = f" ({self._source}, line {line})" if line else f" ({self._source})"
        return Origin(Source.FILE, place(path), where, stands_for)

    def tell(self, path: Path, problem: str) -> None:
        self._draft.problems.append(f"{self.origin(path)}: {problem}")
        self._draft.broken.add(path)

    def refuse_environments_own(self, section: str, value: object) -> None:
        """Take out what stands in a section of the file although only the environment may say it."""
        if not isinstance(value, dict):
            return
        for name in list(value):
            setting = BY_PATH.get((section, name))
            if setting is not None and not setting.in_file:
                self.tell((section, name), f"found; {_ENVIRONMENTS}; allowed is the variable {setting.variable}")
                del value[name]

    def filled(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            self._draft.origins[path] = self.origin(path)
            pairs = {name: self.filled(item, (*path, name)) for name, item in value.items()}
            # a deployment without a name keeps its name; anything else without a value is unset
            return pairs if path[-1] == "deployments" else {k: v for k, v in pairs.items() if v is not None}
        if isinstance(value, list):
            self._draft.origins[path] = self.origin(path)
            return [self.filled(item, (*path, index)) for index, item in enumerate(value)]
        if value is None:
            return None
        stands_for = value if _REFERENCE.search(value) else ""
        self._draft.origins[path] = self.origin(path, stands_for)
        return _REFERENCE.sub(lambda match: self._value(match, path), value).strip() or None

    def _value(self, match: re.Match[str], path: Path) -> str:
        escaped, name = match.groups()
        if escaped:
            return match[0][1:]
        found = self._environ.get(name, self._environ.get(name.upper(), "")).strip()
        if not _NAME.fullmatch(name):
            self.tell(path, f"found {match[0][:60]!r}; allowed is ${{NAME}}, or $${{ for a plain ${{")
        elif not found:
            self.tell(path, f"found ${{{name}}}, which is not set; allowed is the name of a variable that is set")
        return found
