"""Which objects does a request name? In its path, its query, and its JSON body.

Objects live on one resource: where such a request goes is not a matter of load. Bodies are searched for keys, not
parsed; a search can mistake a text that a user put into `metadata` for a reference, so nothing is refused before
`exact` has read the document.
"""

import json
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import islice
from typing import Any, NamedTuple

from lb.balancing.scenes import ID, Scene


class Kind(Enum):
    """How a request names an object."""

    PATH = "path"
    OBJECT = "object"  # by its id, in the query or the body
    PREVIOUS = "previous_response_id"
    SEALED = "encrypted_content"  # encrypted reasoning: only who wrote it can read it
    ITEM = "item"  # of an earlier answer, repeated with its content: good to have there, not needed


class Reference(NamedTuple):
    """`name` is the id, or the beginning of a sealed text."""

    kind: Kind
    name: bytes


class Unread(ValueError):
    """The body may name objects that cannot be seen; the text says why."""


SEALED_MAX = 512
"""How much of a sealed text stands for it: its beginning has a random part."""
_SEALED_MIN = 16
MOST = 10_000
"""Objects that one request may name: each takes a microsecond to look up."""
EXACT_MAX = 256 * 1024
"""Bytes of a body that is read in full at most: it takes 40 ms, in which nobody else is served."""
TOO_LARGE = f"it is larger than {EXACT_MAX // 1024} KiB, and letters of it are written as escapes, or a list is unusual"
TOO_MANY = f"it names more than {MOST:,} objects"

_KEYS = (
    rb"previous_response_id|conversation|conversation_id|file_id|file_ids|input_file_id|training_file|validation_file|"
    rb"vector_store_id|vector_store_ids|container|container_id|assistant_id|thread_id|run_id|response_id|video_id|"
    rb"eval_id|batch_id|skill_id|id"
)
_NAMING = re.compile(
    rb'"(?:(encrypted_content)"\s*+:\s*+"([^"\\]{%d,%d})|(%b)"\s*+:\s*+(?:"(%b)"|(\[)))'
    % (_SEALED_MIN, SEALED_MAX, _KEYS, ID.pattern)
)
_ELEMENT = re.compile(rb'\s*+(?:"((?:[^"\\]|\\.)*+)"|[^\s"\[\]{},]*+)\s*+([,\]])', re.DOTALL)
"""Of a list: a text or a plain value, and what follows."""
_CARRIER = re.compile(rb"(?:conv|resp|thread|asst|vs|cntr|batch|video|eval|upload)_|file-|assistant-|ftjob-")
"""Ids that are references wherever they stand."""
_ITEM = re.compile(rb"(?!call_)[a-z]{2,8}_[A-Za-z0-9]{6,}")
_ESCAPED = re.compile(rb"\\u00(?:2[dD]|3[0-9]|4[1-9a-fA-F]|5[0-9aA]|5[fF]|6[1-9a-fA-F]|7[0-9aA])")
"""A letter, digit, `-` or `_` that is written as an escape, as nobody does who has nothing to hide."""

KEY_NAMES = frozenset(_KEYS.decode().split("|"))
"""Members whose text names an object."""
_OPAQUE = frozenset({"metadata", "attributes", "parameters", "schema", "json_schema", "arguments"})
"""What stands below is the user's own."""

_GATES = {
    "chat": (b'"file_id"',),
    "responses": (b'_id"', b'_ids"', b'"id"', b'"conversation"', b'"encrypted_content"', b'"container"'),
}
"""Without one of these there is nothing to search for."""
_ANYTHING = (b'"',)
_SMALL = 64 * 1024
"""Bytes: a larger body, most of which is a picture, is gone through once and not for each gate."""


def mentions(found: Scene, body: bytes) -> bool:
    """May the body name anything? Said quickly, for the many that do not."""
    for gate in _GATES.get(found.collection, _ANYTHING):  # noqa: SIM110 - half the time of `any`, for every chat
        if gate in body:
            return True
    return False


def searched(found: Scene, body: bytes) -> list[Reference]:
    """The references of path, query and body, found by a search. Raises `Unread` for more than `MOST`."""
    references = [Reference(Kind.PATH, name) for name in found.ids]
    if len(body) <= _SMALL and not mentions(found, body):
        return references
    chat = found.collection == "chat"
    seen = 0
    for match in _NAMING.finditer(body):
        sealed, text, key, name, listed = match.groups()
        if sealed:
            references.append(Reference(Kind.SEALED, text))
        elif not (chat and key == b"id"):
            names = _listed(body, match.end()) if listed else (name,)
            if names is None:
                return exact(found, body)
            seen += len(names)
            kinds = [(_kind(key, one), one) for one in names if one]
            references += [Reference(kind, one) for kind, one in kinds if kind is not None]
        if len(references) > MOST or seen > MOST:
            raise Unread(TOO_MANY)
    return _needed(references, body)


def _needed(references: list[Reference], body: bytes) -> list[Reference]:
    """Items that come without their content are needed, as any other object."""
    if all(reference.kind is not Kind.ITEM for reference in references) or b'"item_reference"' not in body:
        return references
    return [Reference(Kind.OBJECT, name) if kind is Kind.ITEM else Reference(kind, name) for kind, name in references]


def _listed(body: bytes, at: int) -> Sequence[bytes] | None:
    """The list that begins there, with nothing in the place of what is no id; None where it is not a plain one."""
    names: list[bytes] = []
    while len(names) <= MOST:
        element = _ELEMENT.match(body, at)
        if element is None:
            return None
        text, end = element.groups()
        names.append(text if text is not None and ID.fullmatch(text) else b"")
        if end == b"]":
            break
        at = element.end()
    return names


def _kind(key: bytes, name: bytes) -> Kind | None:
    """What a name under this key means; None: nothing."""
    if key == b"previous_response_id":
        return Kind.PREVIOUS
    if key != b"id" or _CARRIER.match(name):
        return Kind.OBJECT
    if not _ITEM.match(name):
        return None
    return Kind.ITEM


def hides(body: bytes) -> bool:
    """May it name objects in a spelling that a search does not see?"""
    return body.find(b"\\") >= 0 and _ESCAPED.search(body) is not None


def exact(found: Scene, body: bytes) -> list[Reference]:
    """As `searched`, from the parsed document, doubled keys included. Raises `Unread` for what is no JSON, or larger
    than `EXACT_MAX`."""
    if len(body) > EXACT_MAX:
        raise Unread(TOO_LARGE)
    try:
        document = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise Unread("it is no JSON") from None
    references = [Reference(Kind.PATH, name) for name in found.ids]
    try:
        references += islice(_walk(document, found.collection == "chat"), MOST + 1)
    except RecursionError:
        raise Unread("it is nested too deeply") from None
    if len(references) > MOST:
        raise Unread(TOO_MANY)
    return _needed(references, body)


class _Pairs(list[Any]):
    """An object with all of its keys."""


def _walk(value: Any, chat: bool) -> Iterator[Reference]:
    if isinstance(value, _Pairs):
        for key, inner in value:
            if key not in _OPAQUE:
                yield from _named(key, inner, chat)
                yield from _walk(inner, chat)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, chat)


def _named(key: str, value: Any, chat: bool) -> Iterator[Reference]:
    """What one member of an object names."""
    if key == "encrypted_content" and isinstance(value, str) and len(value) >= _SEALED_MIN:
        yield Reference(Kind.SEALED, value.encode("utf-8", "replace")[:SEALED_MAX])
    if key not in KEY_NAMES or (chat and key == "id"):
        return
    for one in value if isinstance(value, list) and not isinstance(value, _Pairs) else (value,):
        name = one.encode("utf-8", "replace") if isinstance(one, str) else b""
        kind = _kind(key.encode(), name) if ID.fullmatch(name) else None
        if kind is not None:
            yield Reference(kind, name)
