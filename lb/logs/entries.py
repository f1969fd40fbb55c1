"""A line of a log stream, as the platform's tools print it, and our own line within it. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any

from lb.telemetry.text import printable

Entry = dict[str, Any]

WRAPPERS = ("Log_s", "Log", "LogMessage", "log", "message")
"""Where others put our line: Log Analytics and its diagnostic settings, `az containerapp logs show`, ContainerLogV2 of
AKS, Docker's json-file, and collectors."""
_DEEPEST = 4
_MEMBER = re.compile(rf'\s*"(?:{"|".join(WRAPPERS)})"\s*:\s*(".*")\s*,?\s*')
"""One line of a row that was printed over several lines."""
_DECODER = json.JSONDecoder()


def entries_in(line: str) -> list[Entry]:
    """Our lines that stand in it: one, or several where a whole table came in one line; none where it is not ours."""
    member = _MEMBER.fullmatch(line)
    text = _decoded(member[1]) if member else line
    return list(_found(text, 0))


def _found(value: object, depth: int) -> Iterator[Entry]:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        start = min([at for at in (value.find("{"), value.find("[{")) if at >= 0], default=None)
        inner: list[object] = [] if start is None else [_decoded(value[start:])]
    elif isinstance(value, dict):
        if isinstance(value.get("event"), str) and "level" in value:
            yield value
            return
        inner = [value.get(name) for name in WRAPPERS]
    else:
        inner = value if isinstance(value, list) else []
    for item in inner:
        yield from _found(item, depth + 1)


def _decoded(text: str) -> Any:
    """The JSON value that the text begins with; None where there is none. What follows it does not matter."""
    try:
        return _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


def shown(value: object, most: int = 300) -> str:
    """As it may go to a terminal: nothing in a log line steers it, begins another line, or fills the screen."""
    text = printable(str(value))
    return text if len(text) <= most else text[:most] + "..."
