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
    whole: bool = False
    """It names no object: a GET of it tells of everybody's."""
    odd: bool = False
    """A reader behind us may see another path than we do."""


CHAT = Scene("chat", listing=True, whole=True)
"""The making of a chat completion, or the list of those that are stored."""

COLLECTIONS = frozenset(
    {
        "responses", "conversations", "files", "uploads", "assistants", "threads", "vector_stores", "batches",
        "fine_tuning", "fine-tunes", "evals", "containers", "videos", "video", "skills",
    }
)  # fmt: skip
"""First path segments behind the base of what makes, holds or names objects."""

LISTED = frozenset({"files", "assistants", "vector_stores", "batches", "evals", "containers", "videos", "skills"})
"""Collections that can be listed as a whole, besides `_JOBS` and stored `chat/completions`."""

_JOBS = (["fine_tuning", "jobs"], ["video", "generations", "jobs"])

COMBINED = frozenset(
    {"files", "uploads", "vector_stores", "assistants", "threads", "conversations", "containers", "evals", "skills"}
)
"""Collections whose objects are used together with objects that were made by other requests."""

UPLOADS = frozenset({"files", "uploads", "skills"})
"""Collections whose forms bring what they are made of, and name no objects."""

_WORDS = frozenset(
    {
        "jobs", "alpha", "graders", "checkpoints", "permissions", "runs", "steps", "messages", "items", "input_items",
        "compact", "input_tokens", "content", "cancel", "complete", "parts", "files", "file_batches", "search",
        "submit_tool_outputs", "events", "pause", "resume", "output_items", "remix", "generations", "completions",
        "run", "validate", "versions", "thumbnail", "video", "copy", "import", "batches", "results",
    }
)  # fmt: skip
"""Path segments that are no ids."""

ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.-]{3,199}")
"""What can be an object's id."""
_ODD = re.compile(rb"[^!$&-.0-:=@A-Z_a-z~]|\.\Z")
"""What an identifier, a word or a name in a path has no need of: `;`, `%`, slashes, white space, a dot at the end."""
_REMEMBERED = 512
"""Bytes: a longer target is read anew each time, so that what is remembered stays small."""


def scene(target: bytes) -> Scene | None:
    """What the path tells; None where no object can be meant."""
    return _scene(target) if len(target) <= _REMEMBERED else _scene.__wrapped__(target)


@lru_cache(maxsize=1024)
def _scene(target: bytes) -> Scene | None:
    path, _, query = target.partition(b"?")
    names, odd = _names(path)
    at = _base(names)
    rest = names[at:]
    words = [name.decode("latin-1").lower() for name in rest]
    stored, batched = words[:2] == ["chat", "completions"], words[:2] == ["messages", "batches"]
    if not words or (words[0] not in COLLECTIONS and not stored and not batched):
        return None
    if stored:
        ids, whole = _ids(rest[2:3]), len(rest) == 2
    else:
        ids, whole = _ids(_unworded(rest[1:])), all(word in _WORDS for word in words[1:])
    # Foundry's lists of Anthropic's objects have other cursors, and cannot be merged.
    listing = not odd and not _is_anthropic(names) and (_is_list(words) or (stored and whole))
    content = "content" in words[-2:] or (batched and words[-1] == "results")
    return Scene("chat" if stored else words[0], ids + _cursors(query), listing, content, whole, odd)


def _is_list(words: list[str]) -> bool:
    return words in _JOBS or (len(words) == 1 and words[0] in LISTED)


def _unworded(names: list[bytes]) -> list[bytes]:
    return [name for name in names if name.decode("latin-1").lower() not in _WORDS]


def _names(path: bytes) -> tuple[list[bytes], bool]:
    """The path's segments, and whether a reader may see others: with what is behind a `;` or white space cut off, `.`
    and `..` resolved, or decoded once more. Then they are those that such a reader sees."""
    names = [unquote_to_bytes(part) if b"%" in part else part for part in path.split(b"/") if part]
    at = _base(names)
    named = at - 1 if [name.lower() for name in names[at - 2 : at - 1]] == [b"deployments"] else -1
    if not any(_ODD.search(name) for place, name in enumerate(names) if place != named):
        return names, False
    for _ in range(3):
        path = unquote_to_bytes(path)
    seen: list[bytes] = []
    for part in re.split(rb"[/\\]", path):
        name = part.partition(b";")[0].strip()
        if name == b"..":
            del seen[-1:]
        elif name.strip(b"."):
            seen.append(name.rstrip(b"."))
    return seen, True


def _is_anthropic(names: list[bytes]) -> bool:
    return [name.lower() for name in names[:2]] == [b"anthropic", b"v1"]


def _base(names: list[bytes]) -> int:
    """How many segments come before the collection: `openai`, `v1`, `openai/deployments/{name}`, `anthropic/v1`."""
    words = [name.lower() for name in names[:2]]
    if _is_anthropic(names):
        return 2
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
