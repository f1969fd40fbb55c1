"""The effective configuration, secrets masked, with where every value came from."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import SecretStr

from lb.config.draft import dotted
from lb.config.problems import MASK, Loaded, mask_address
from lb.config.section import Section
from lb.config.settings import BY_PATH, Path
from lb.config.values import size_text

Line = tuple[str, str, str]
"""Setting, value, where it came from."""


def effective(loaded: Loaded) -> list[Line]:
    """One line for each setting."""
    return list(_section(loaded.config, (), loaded))


def _section(section: Section, path: Path, loaded: Loaded) -> Iterator[Line]:
    for field in type(section).model_fields:
        yield from _value(getattr(section, field), (*path, field), loaded)


def _value(value: object, path: Path, loaded: Loaded) -> Iterator[Line]:
    if isinstance(value, Section):
        yield from _section(value, path, loaded)
    elif isinstance(value, tuple) and value and isinstance(value[0], Section):
        for index, item in enumerate(value):
            yield from _section(item, (*path, index), loaded)
    elif isinstance(value, dict) and any(isinstance(item, Section) for item in value.values()):
        for name, item in value.items():
            yield from _section(item, (*path, name), loaded)
    elif path in loaded.wrong:
        yield dotted(path), "?", "see the problem"
    else:
        yield dotted(path), shown(value, path), came_from(path, loaded)


def shown(value: object, path: Path = ()) -> str:
    """One value as an operator would write it."""
    if path == ("log", "format") and value is None:
        return "console on a terminal, else json"
    match value:
        case None | ():
            return "-"
        case bool():
            return "true" if value else "false"
        case int() if path and str(path[-1]).endswith("_bytes"):
            return size_text(value)
        case float():
            return f"{value:g}"
        case SecretStr():
            return MASK
        case dict() | tuple():
            return _several(value, path)
    return mask_address(str(value)) if path[:1] in (("platform",), ("redis",)) else str(value)


def _several(value: Mapping[str, str] | Sequence[object], path: Path) -> str:
    """Written as it is said: `alias=name`, `name:id`."""
    if isinstance(value, Mapping):
        named = path[-1:] == ("allowed",)
        return ",".join(f"{right}:{left}" if named else f"{left}={right}" for left, right in value.items())
    return f"{len(value)} x {MASK}" if isinstance(value[0], bytes) else ",".join(map(_plain, value))


def _plain(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def came_from(path: Path, loaded: Loaded) -> str:
    """`environment LB_PORT`, `file listen.port (lb.yaml, line 3)`, `default`."""
    origin = loaded.origins.get(path)
    if origin is None and len(path) == 3 and path[-1] in ("name", "keys"):
        origin = loaded.origins.get(path[:2])
    if origin is None:
        setting = BY_PATH.get(tuple(str(step) for step in path))
        return f"default ({setting.variable})" if setting else "default"
    return f"{origin.source.value} {origin}"
