"""Which of the objects' operations does a path mean? Pure: a method and a path in, a way out."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from lb.sim.objects import (
    assistants,
    batches,
    completions,
    containers,
    conversations,
    evals,
    file_batches,
    files,
    fine_tuning,
    responses,
    runs,
    threads,
    uploads,
    vector_stores,
    videos,
)
from lb.sim.objects.ask import Way, Ways

FAMILIES = (
    responses,
    conversations,
    files,
    batches,
    vector_stores,
    file_batches,
    containers,
    assistants,
    threads,
    runs,
    uploads,
    fine_tuning,
    evals,
    videos,
    completions,
)
WAYS: Ways = {key: way for family in FAMILIES for key, way in family.WAYS.items()}


@dataclass(frozen=True, slots=True)
class Path:
    """An operation on objects, found."""

    way: Way
    operation: str
    """The words of its path, like `files.content`: faults and counts go by it."""
    names: tuple[str, ...]
    query: dict[str, str]

    @property
    def api_version(self) -> str:
        return self.query.get("api-version", "")


_Shape = tuple[str | None, ...]


def _shapes() -> dict[tuple[str, int], list[tuple[_Shape, Way]]]:
    """By method and number of segments; shapes with fewer ids first, since `threads/runs` is not a thread's id."""
    found: dict[tuple[str, int], list[tuple[_Shape, Way]]] = {}
    for key, way in WAYS.items():
        method, _, path = key.partition(" ")
        shape = tuple(None if part == "{}" else part for part in path.strip("/").split("/"))
        found.setdefault((method, len(shape)), []).append((shape, way))
    for shapes in found.values():
        shapes.sort(key=lambda one: one[0].count(None))
    return found


_SHAPES = _shapes()


def find(method: str, target: str) -> Path | None:
    """The operation that is meant, on the v1 path or on the classic one, which needs an `api-version`."""
    path, _, query = target.partition("?")
    segments = [unquote(part) for part in path.strip("/").split("/")]
    said = dict(parse_qsl(query))
    match segments:
        case ["openai", "v1", *rest]:
            pass
        case ["openai", *rest] if said.get("api-version"):
            pass
        case _:
            return None
    for shape, way in _SHAPES.get((method, len(rest)), ()):
        if all(want in (None, have) for want, have in zip(shape, rest, strict=True)) and all(rest):
            names = tuple(have for want, have in zip(shape, rest, strict=True) if want is None)
            return Path(way, _operation(shape), names, said)
    return None


def _operation(shape: _Shape) -> str:
    words = ".".join(part for part in shape if part)
    return "response" if words == "responses" else words
