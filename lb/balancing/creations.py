"""Which objects does a reply tell of? Read from the document, at known places only, since a reply also repeats what
its request said."""

import json
import re
from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple

from lb.balancing.references import SEALED_MAX

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{3,199}")
_TOLD = frozenset(
    {"id", "output_file_id", "error_file_id", "container_id", "thread_id", "run_id", "file_id", "result_files"}
)
"""Members whose text is an id, or whose list has ids."""
_GIVEN = frozenset({"file_id", "thread_id", "container_id"})
"""Those that a reply may tell of because its request named them."""
_USED = frozenset({"conversation", "container", "file"})
"""Members that tell of what was there before, or may have been: their `id` was not made for this request."""
_LINKS = frozenset({"vector_store.file", "assistant.file", "thread.message.file"})
"""Objects whose `id` is that of a file which was put into another object."""
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


def unless_named(creations: Iterable[Creation], names: Container[bytes]) -> list[Creation]:
    """The same, but what the request named was not made by it, wherever the reply tells of it."""
    return [Creation(name, made and name not in names) for name, made in creations]


def _walk(value: Any, depth: int, used: bool = False) -> Iterator[Creation]:
    if isinstance(value, dict) and depth:
        kind = value.get("object")
        used = used or (isinstance(kind, str) and kind in _LINKS)
        for key, inner in value.items():
            if key in _TOLD:
                yield from _named(key, inner, used)
            elif key == "encrypted_content" and isinstance(inner, str) and inner:
                yield Creation(inner.encode("utf-8", "replace")[:SEALED_MAX], True)
            elif key in _INTO:
                yield from _walk(inner, depth - 1, key in _USED and kind != "upload")
    elif isinstance(value, list) and depth:
        for inner in value:
            yield from _walk(inner, depth - 1, used)


def _named(key: str, value: Any, used: bool) -> Iterator[Creation]:
    for one in value if isinstance(value, list) else (value,):
        if isinstance(one, str) and _ID.fullmatch(one):
            yield Creation(one.encode(), not used and key not in _GIVEN)
