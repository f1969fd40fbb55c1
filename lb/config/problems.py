"""All problems at once, in the operator's words: where it was said, what was found, what is allowed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lb.config.draft import Draft, Origin, Source, dotted
from lb.config.environment import SERVICE_LINKS
from lb.config.model import BackendSection, ClientSection, Config
from lb.config.section import Section
from lb.config.settings import BY_PATH, KEY_LISTS, SECRETS, SUFFIXES, Path
from lb.config.tenants import LimitsOfTenant, TenantSection
from lb.config.values import Wrong, did_you_mean

MASK = "****"
_LONGEST = 100
_LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with its story."""

    config: Config
    origins: Mapping[Path, Origin]
    warnings: tuple[str, ...]
    file: str | None
    """The file that it was read from, for who wants to watch it."""
    wrong: frozenset[Path] = frozenset()
    """Places that have their default for want of a good value."""


class ConfigProblems(Exception):
    """The configuration is wrong; one line for each problem, and what could be understood beside them."""

    def __init__(self, problems: Iterable[str], rest: Loaded | None = None) -> None:
        self.problems = list(dict.fromkeys(_one_line(problem) for problem in problems))
        self.rest = rest
        super().__init__("\n".join(self.problems))


def _one_line(problem: str) -> str:
    """Names are quoted as they came: whatever they hold, it stays one line of a bearable length."""
    printable = "".join(part if part.isprintable() else ascii(part)[1:-1] for part in problem)
    return printable[:_LONGEST_LINE] + ("..." if len(printable) > _LONGEST_LINE else "")


def explain(failed: ValidationError, draft: Draft) -> list[tuple[Path, str]]:
    """What pydantic found, with the place that has to change and the line for the operator."""
    return [_explained(error, draft) for error in failed.errors(include_url=False)]


def _explained(error: ErrorDetails, draft: Draft) -> tuple[Path, str]:
    path = _in_tree(error["loc"], draft)
    where = place(path, draft)
    match error["type"]:
        case "missing":
            return path, f"{where}: found nothing; a value is required"
        case "extra_forbidden":
            known = sorted(_section(path[:-1]).model_fields.keys() - {"platform"})
            close = did_you_mean(str(path[-1]), known)
            return path, f"{where}: found a name that lb does not know{close or '; allowed are ' + ', '.join(known)}"
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, Wrong):
        return path, f"{where}: found {shown(error['input'], path, draft)}; allowed is {cause}"
    # a value in a place where nobody knows whether it is a secret
    found = _KINDS.get(type(error["input"]), "a single value")
    allowed = _SHAPES.get(error["type"], error["msg"])
    return path, f"{where}: found {found}; allowed is {allowed}"


_KINDS: dict[type, str] = {dict: "a section", list: "a list"}
_SHAPES = {
    "tuple_type": "a list",
    "model_type": "a section, `name: value` in each line",
    "dict_type": "a section, `name: value` in each line",
}


def _in_tree(location: tuple[int | str, ...], draft: Draft) -> Path:
    """pydantic's location, cut to where the draft has a value or misses one."""
    path: Path = ()
    branch: Any = draft.tree
    for step in location:
        path = (*path, step)
        if isinstance(branch, dict) and isinstance(step, str):
            branch = branch.get(step)
        elif isinstance(branch, list) and isinstance(step, int):
            branch = branch[step]
        else:
            return path[:-1]
    return path


def place(path: Path, draft: Draft) -> str:
    """The variable, the option or the place in the file that says this, or that would have to."""
    if path in draft.origins and draft.origins[path].name not in KEY_LISTS:
        return str(draft.origins[path])
    parent = next((draft.origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in draft.origins), None)
    if parent is None or parent.source is not Source.FILE:
        if path[:1] in _KEY_LISTS:
            return _key_list(path, draft)
        if path[:1] == ("backends",) and len(path) == 3 and parent:
            return f"{parent.name}_{SUFFIXES.get(str(path[2]), str(path[2]).upper())}"
        if path in BY_PATH:
            return BY_PATH[tuple(str(step) for step in path)].variable
    return dotted(path) + (parent.where if parent else "")


_KEY_LISTS: dict[Path, str] = {(section,): variable for variable, section in KEY_LISTS.items()}


def _key_list(path: Path, draft: Draft) -> str:
    variable = _KEY_LISTS[path[:1]]
    if len(path) == 1:
        return variable
    name = str(draft.tree[str(path[0])][path[1]].get("name", ""))[:64]
    return f"{variable} ({name!r})"


def _section(path: Path) -> type[Section]:
    if path[:1] == ("backends",):
        return BackendSection
    if path[:1] in _KEY_LISTS:
        return ClientSection
    if path[:1] == ("tenants",):
        return TenantSection if len(path) < 4 else LimitsOfTenant
    if not path:
        return Config
    annotation = Config.model_fields[str(path[0])].annotation
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next(kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Section))


def shown(value: object, path: Path, draft: Draft) -> str:
    """What was found, without secrets: keys are masked, and so is what stands before a host or in a query."""
    origin = draft.origins.get(path)
    if SECRETS.intersection(step for step in path if isinstance(step, str)):
        return "a value that is not shown"
    if origin and origin.stands_for:
        return f"the value of {origin.stands_for!r}"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    masked = mask_address(str(value))
    hint = SERVICE_LINKS if masked.lower().startswith("tcp://") else ""
    return repr(masked[:_LONGEST] + ("..." if len(masked) > _LONGEST else "")) + hint


def mask_address(value: str) -> str:
    """`https://user:password@host/?api-key=...` without what it should not tell."""
    masked = re.sub(r"^(\w+://)?.*@", rf"\g<1>{MASK}@", value, flags=re.DOTALL) if "@" in value else value
    return re.sub(r"\?.+", f"?{MASK}", masked, flags=re.DOTALL) if "://" in value else masked
