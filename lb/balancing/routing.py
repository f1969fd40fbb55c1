"""What does a request ask for, and how does it have to be rewritten for a backend? Path and body in, values out."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from lb.balancing.backend import Backend
from lb.balancing.model_field import Ambiguous, Field, find_model
from lb.balancing.model_scan import ModelScan
from lb.balancing.multipart import boundary_of, find_model_part


class Operation(Enum):
    """What a fault may lead to: who knows whether the backend had already done it?"""

    SAFE = "safe"  # GET, HEAD, OPTIONS, DELETE: doing it twice changes nothing
    INFERENCE = "inference"  # doing it twice costs tokens, no more
    DURABLE = "durable"  # makes a job, a file, an object: not to be made twice

    @property
    def repeatable(self) -> bool:
        """May it be sent to a second backend when the first may have done it?"""
        return self is not Operation.DURABLE


class Place(Enum):
    """Where a request names its deployment."""

    NOWHERE = "nowhere"
    PATH = "path"
    QUERY = "query"
    JSON = "json"
    FORM = "form"


class Unroutable(ValueError):
    """The request is wrong in a way that routing cannot pass on; the text is for the client."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for. `start` and `end` are the deployment's place in the raw target or in the body."""

    operation: Operation
    deployment: str | None = None
    place: Place = Place.NOWHERE
    start: int = 0
    end: int = 0
    unnamed: str = ""
    """Why a request that works on a deployment, or may do so, names none that we can see."""
    unreadable: bool = False
    """A reader behind us may see a name in the body that we cannot see."""
    by_header: bool = False
    """A reader behind us may see a name in the header field `DEPLOYMENT_FIELD`, too."""


DEPLOYMENT_FIELD = b"azureml-model-deployment"
"""By which clients of the Foundry Models API name a deployment behind a managed endpoint."""


INFERENCE = frozenset({"chat", "completions", "responses", "embeddings", "images", "audio", "moderations", "messages"})
"""First path segments, behind `/openai[/v1]`, `/models`, `/anthropic/v1` or behind the deployment, of calls that make
nothing durable."""

BASE_MODEL = frozenset(
    {
        "fine_tuning", "fine-tunes", "evals", "batches", "files", "uploads", "models", "vector_stores", "deployments",
        "containers", "skills",
    }
)  # fmt: skip
"""First path segments of calls whose `model`, if any, is not a deployment."""

_REMEMBERED_TARGET = 512
"""Bytes: a longer target is read anew each time, so that what is remembered stays small."""

NAME_MAX = 256
"""Characters; Azure's deployment names have at most 64, and each name that was asked for is remembered for a while."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


def route(
    method: str,
    target: bytes,
    content_type: bytes,
    content_encoding: bytes,
    body: bytes,
    *,
    whole: bool = True,
    seen: ModelScan | None = None,
) -> Route:
    """Read path and body. `whole=False`: `body` is only the beginning, or `seen` has seen no more. Raises
    `Unroutable`."""
    by_path = _route_by_path if len(target) <= _REMEMBERED_TARGET else _route_by_path.__wrapped__
    found, rest = by_path(method, target)
    if not _may_name(method, found, rest):
        return found
    by_body = _by_body(found.operation, content_type, content_encoding, body, whole, seen)
    known = not by_body.unreadable
    if by_body.unnamed and known and (found.operation is not Operation.INFERENCE or len(rest) > 2):
        return found  # such as a conversation, or the cancelling of a response: no deployment is meant
    return replace(by_body, by_header=True) if found.by_header else by_body


def route_handshake(target: bytes) -> Route:
    """Read the target of a WebSocket's handshake, which has no body. Raises `Unroutable`.

    Whatever is done there is made with a model; and a handshake that is sent twice has made nothing yet.
    """
    found, _ = _route_by_path.__wrapped__("GET", target)
    if found.place is Place.PATH:
        return replace(found, operation=Operation.INFERENCE)
    values = {(raw, start) for raw, start in _query_values(target)}
    names = {_query_name(raw) for raw, _ in values} - {""}
    if len(names) > 1 or len(values) > 1:
        raise Unroutable("the query must name the deployment once, as `model` or as `deployment`")
    if not names:
        unnamed = "a WebSocket names it in its query, as `model` or, with an `api-version`, as `deployment`"
        return Route(Operation.INFERENCE, unnamed=unnamed)
    ((raw, start),) = values
    return Route(Operation.INFERENCE, names.pop(), Place.QUERY, start, start + len(raw))


_PAIR = re.compile(rb"[^&;?]+")


def _query_values(target: bytes) -> Iterator[tuple[bytes, int]]:
    """The values of `model` and `deployment` with their places. Servers differ on case, on `;`, and on a second `?`."""
    for found in _PAIR.finditer(target, target.find(b"?") + 1 or len(target)):
        name, mark, value = found[0].partition(b"=")
        if unquote_to_bytes(name).lower() in (b"model", b"deployment"):
            yield value, found.start() + len(name) + len(mark)


def _query_name(raw: bytes) -> str:
    """Raises `Unroutable`."""
    name = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8", "replace")
    if len(name) > NAME_MAX or not name.isprintable() or " " in name:
        raise Unroutable("the query's `model` or `deployment` is not a name that a deployment can have")
    return name


def looked_into(method: str, target: bytes) -> bool:
    """Does the body of such a request say where it goes?"""
    try:
        return _may_name(method, *_route_by_path.__wrapped__(method, target))
    except Unroutable:
        return False


def _may_name(method: str, found: Route, rest: tuple[str, ...]) -> bool:
    return found.place is not Place.PATH and method not in _SAFE_METHODS and bool(rest) and rest[0] not in BASE_MODEL


@lru_cache(maxsize=1024)
def _route_by_path(method: str, target: bytes) -> tuple[Route, tuple[str, ...]]:
    """What method and path tell, and the path's segments behind its base; most clients repeat theirs.

    Raises `Unroutable`.
    """
    segments = _segments(target)
    names = [name for name, _, _ in segments]
    at = _deployments_at(names)
    if at is not None:
        name, start, end = segments[at + 1]
        return Route(_operation(method, names[at + 2 :]), _deployment(name), Place.PATH, start, end), ()
    _check_hidden(target)
    rest = _behind_base(names)
    return Route(_operation(method, rest), by_header=_is_foundry(names)), tuple(rest)


def _segments(target: bytes) -> list[tuple[str, int, int]]:
    """Decoded path segments with their place in the raw target. Empty ones do not count: servers differ on them."""
    path = target.partition(b"?")[0]
    found, start = [], 0
    for raw in path.split(b"/"):
        end = start + len(raw)
        if raw:
            text = (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8", "replace")
            found.append((text, start, end))
        start = end + 1
    return found


def _deployments_at(names: list[str]) -> int | None:
    """Index of `deployments` in `/openai/deployments/{name}/...`, of which a backend's address may hold the first
    part. Azure does not mind the case."""
    for at, base in enumerate((["deployments"], ["openai", "deployments"])):
        if len(names) > at + 1 and [name.lower() for name in names[: at + 1]] == base:
            return at
    return None


def _check_hidden(target: bytes) -> None:
    """Raises `Unroutable` for a path that names a deployment once it is decoded again, or parameters are cut off."""
    path = target.partition(b"?")[0]
    if b"%" not in path and b";" not in path:
        return
    for _ in range(3):
        path = unquote_to_bytes(path)
        names = [part.partition(b";")[0].decode("latin-1") for part in re.split(rb"[/\\]", path)]
        if _deployments_at([name for name in names if name]) is not None:
            raise Unroutable("the path names a deployment in a way that may be read differently behind us")


def _behind_base(names: list[str]) -> list[str]:
    lowered = [name.lower() for name in names]
    if lowered[:1] == ["openai"]:
        lowered = lowered[1:]
    if lowered[:1] == ["v1"]:  # alone where the backends' addresses end in `/openai`
        return lowered[1:]
    if lowered[:1] == ["models"] and len(lowered) > 1:  # Foundry: /models/chat/completions
        return lowered[1:]
    if lowered[:2] == ["anthropic", "v1"]:  # Foundry: /anthropic/v1/messages
        return lowered[2:]
    return lowered


def _is_foundry(names: list[str]) -> bool:
    return len(names) > 1 and names[0].lower() == "models"


def _operation(method: str, rest: list[str]) -> Operation:
    if method in _SAFE_METHODS:
        return Operation.SAFE
    first, second = ([name.lower() for name in rest[:2]] + ["", ""])[:2]
    if method == "POST" and first in INFERENCE and (first, second) != ("messages", "batches"):
        return Operation.INFERENCE
    return Operation.DURABLE


def _deployment(name: str) -> str:
    wrong = len(name) > NAME_MAX or not name.isprintable() or any(char in name for char in "/\\?#%")
    if wrong or not name.strip():
        raise Unroutable("the deployment name in the path has characters that no deployment name can have")
    return name


def _by_body(
    operation: Operation,
    content_type: bytes,
    content_encoding: bytes,
    body: bytes,
    whole: bool,
    seen: ModelScan | None,
) -> Route:
    if content_encoding and content_encoding.strip().lower() != b"identity":
        return Route(operation, unnamed="the body is compressed, so its `model` cannot be read", unreadable=True)
    kind = content_type.partition(b";")[0].strip().lower()
    if _is_wide(kind, body):
        return Route(operation, unnamed="the body is not in UTF-8, so its `model` cannot be read", unreadable=True)
    try:
        place, field = _find(kind, content_type, body, whole, seen)
    except Ambiguous as problem:
        raise Unroutable(str(problem)) from None
    if field is None or not field.value:
        where = "the body" if whole else "the beginning of the body, all that is kept of one so large,"
        return Route(operation, unnamed=f"{where} has no `model`", unreadable=not whole)
    if len(field.value) > NAME_MAX or not field.value.isprintable():
        raise Unroutable("the `model` in the body is not a name that a deployment can have")
    return Route(operation, field.value, place, field.start, field.end)


def _is_wide(kind: bytes, body: bytes) -> bool:
    """Is it JSON in UTF-16 or UTF-32, which some readers take (RFC 8259 section 8.1 wants UTF-8)?"""
    return (not kind or b"json" in kind) and (b"\0" in body[:4] or body[:2] in (b"\xff\xfe", b"\xfe\xff"))


def _find(
    kind: bytes, content_type: bytes, body: bytes, whole: bool, seen: ModelScan | None
) -> tuple[Place, Field | None]:
    if seen is not None:
        return Place.FORM if kind == b"multipart/form-data" else Place.JSON, seen.found()
    if kind == b"multipart/form-data":
        boundary = boundary_of(content_type)
        return Place.FORM, find_model_part(body, boundary) if boundary else None
    return Place.JSON, find_model(body, whole=whole)


def needs_name(backend: Backend) -> bool:
    """Does this backend give deployments names of its own, so that a request must say which it wants?"""
    return backend.deployments is not None or backend.deployment_name is not None


def rewrite_target(route: Route, target: bytes, backend: Backend) -> bytes:
    """The target with the backend's own name for the deployment in its place; every other byte stays."""
    name = backend.calls(route.deployment)
    if route.place not in (Place.PATH, Place.QUERY) or name is None or name == route.deployment:
        return target
    return target[: route.start] + quote_from_bytes(name.encode(), safe="").encode() + target[route.end :]


def rewrite_body(route: Route, body: bytes, backend: Backend) -> bytes:
    """The body with the backend's own name for the deployment in its place; every other byte stays."""
    text = renamed(route, backend)
    return body if text is None else body[: route.start] + text + body[route.end :]


def renamed(route: Route, backend: Backend) -> bytes | None:
    """What is to stand in the body from the route's start to its end; None where it may stay as it is."""
    name = backend.calls(route.deployment)
    if route.place not in (Place.JSON, Place.FORM) or name is None or name == route.deployment:
        return None
    return (json.dumps(name) if route.place is Place.JSON else name).encode()
