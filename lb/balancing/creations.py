"""Which objects does a reply tell of? Read from the document, at known places only, since a reply also repeats what
its request said."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from lb.balancing.references import SEALED_MAX

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{3,199}")
_TOLD = frozenset(
    {"id", "output_file_id", "error_file_id", "container_id", "thread_id", "run_id", "file_id", "result_files"}
)
"""Members whose text is an id, or whose list has ids."""
_GIVEN = frozenset({"file_id", "thread_id", "container_id"})
"""Those that a reply may tell of because its request named them."""
_INTO = frozenset(
    {
        "data", "output", "item", "response", "conversation", "content", "annotations", "file", "text", "part",
        "outputs", "image_file", "container", "annotation", "message", "delta", "step_details", "message_creation",
        "generations",
    }
)  # fmt: skip
"""Members below which objects are told of."""
_FIRST = re.compile(rb'\s*\{\s*"id"\s*:\s*"([A-Za-z0-9][A-Za-z0-9_.-]{3,199})"')
_DEPTH = 12


class Creation(NamedTuple):
    """An object that lives where the reply came from; `made`, where the backend gave it its name."""

    name: bytes
    made: bool


def told(text: bytes) -> list[Creation]:
    """What a JSON text tells; nothing for what is no JSON."""
    try:
        return list(_walk(json.loads(text), _DEPTH))
    except (ValueError, RecursionError):
        return []


def first(text: bytes) -> list[Creation]:
    """What the beginning of a JSON text tells that is too long to be read: its own id, if that comes first."""
    found = _FIRST.match(text)
    return [Creation(found[1], True)] if found else []


def _walk(value: Any, depth: int) -> Iterator[Creation]:
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            if key in _TOLD:
                yield from _named(key, inner)
            elif key == "encrypted_content" and isinstance(inner, str) and inner:
                yield Creation(inner.encode("utf-8", "replace")[:SEALED_MAX], True)
            elif key in _INTO:
                yield from _walk(inner, depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value:
            yield from _walk(inner, depth - 1)


def _named(key: str, value: Any) -> Iterator[Creation]:
    for one in value if isinstance(value, list) else (value,):
        if isinstance(one, str) and _ID.fullmatch(one):
            yield Creation(one.encode(), key not in _GIVEN)
