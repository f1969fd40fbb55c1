"""What a path tells of the objects of a request: which collection it is about, and which of its objects it names."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes


class Scene(NamedTuple):
    """What a path tells of the objects of a request."""

    collection: str
    ids: tuple[bytes, ...] = ()
    listing: bool = False
    """It is a whole collection, which on one resource is a part of the truth."""
    content: bool = False
    """What lies there is a file's content, and nobody's to read."""


CHAT = Scene("chat", listing=True)
"""The making of a chat completion, or the list of those that are stored."""

COLLECTIONS = frozenset(
    {
        "responses", "conversations", "files", "uploads", "assistants", "threads", "vector_stores", "batches",
        "fine_tuning", "evals", "containers", "videos", "video", "skills",
    }
)  # fmt: skip
"""First path segments behind the base of what makes, holds or names objects."""

LISTED = frozenset({"files", "assistants", "vector_stores", "batches", "evals", "containers", "videos", "skills"})
"""Collections that can be listed as a whole, besides `fine_tuning/jobs` and stored `chat/completions`."""

COMBINED = frozenset(
    {"files", "uploads", "vector_stores", "assistants", "threads", "conversations", "containers", "evals", "skills"}
)
"""Collections whose objects are used together with objects that were made by other requests."""

_WORDS = frozenset(
    {
        "jobs", "alpha", "graders", "checkpoints", "permissions", "runs", "steps", "messages", "items", "input_items",
        "compact", "input_tokens", "content", "cancel", "complete", "parts", "files", "file_batches", "search",
        "submit_tool_outputs", "events", "pause", "resume", "output_items", "remix", "generations", "completions",
        "run", "validate", "versions", "thumbnail",
    }
)  # fmt: skip
"""Path segments that are no ids."""

ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.-]{3,199}")
"""What can be an object's id."""
_REMEMBERED = 512
"""Bytes: a longer target is read anew each time, so that what is remembered stays small."""


def scene(target: bytes) -> Scene | None:
    """What the path tells; None where no object can be meant."""
    return _scene(target) if len(target) <= _REMEMBERED else _scene.__wrapped__(target)


@lru_cache(maxsize=1024)
def _scene(target: bytes) -> Scene | None:
    path, _, query = target.partition(b"?")
    names = [unquote_to_bytes(part) if b"%" in part else part for part in path.split(b"/") if part]
    rest = names[_base(names) :]
    words = [name.decode("latin-1").lower() for name in rest]
    if words[:2] == ["chat", "completions"]:
        ids = _ids(rest[2:3])
        return Scene("chat", ids + _cursors(query), listing=len(rest) == 2)
    if not words or words[0] not in COLLECTIONS:
        return None
    ids = _ids(name for name, word in zip(rest[1:], words[1:], strict=True) if word not in _WORDS)
    listing = words == ["fine_tuning", "jobs"] or (len(words) == 1 and words[0] in LISTED)
    return Scene(words[0], ids + _cursors(query), listing, words[-1] == "content")


def _base(names: list[bytes]) -> int:
    """How many segments come before the collection: `openai`, `v1`, `openai/deployments/{name}`."""
    words = [name.lower() for name in names[:2]]
    at = int(words[:1] == [b"openai"])
    if words[at : at + 1] == [b"deployments"]:
        return at + 2
    return at + int(words[at : at + 1] in ([b"v1"], [b"models"]))


def _ids(names: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(name for name in names if ID.fullmatch(name))


def _cursors(query: bytes) -> tuple[bytes, ...]:
    """`after` and `before` are ids, too."""
    if b"=" not in query:
        return ()
    pairs = [pair.partition(b"=") for pair in query.split(b"&")]
    return _ids(unquote_to_bytes(value) for key, _, value in pairs if unquote_to_bytes(key) in (b"after", b"before"))
