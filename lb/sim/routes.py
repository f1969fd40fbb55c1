"""What does a request ask for? Pure: a path in, a call out. Objects that a resource keeps: `objects.routing`."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, unquote

Operation = Literal["chat", "completions", "embeddings", "responses", "models", "model", "info"]

CREATES: dict[tuple[str, ...], Operation] = {
    ("chat", "completions"): "chat",
    ("completions",): "completions",
    ("embeddings",): "embeddings",
    ("responses",): "responses",
}
OPERATION_NAMES = {
    "chat": "ChatCompletions_Create",
    "completions": "Completions_Create",
    "embeddings": "Embeddings_Create",
    "responses": "Responses_Create",
}
"""The names by which Azure's messages call them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood. `deployment` is None where the body names it, or nobody does."""

    operation: Operation
    surface: Literal["classic", "v1", "models"]
    deployment: str | None = None
    item: str | None = None
    """The model that is meant."""
    api_version: str = ""


def route(method: str, target: str) -> Call | None:
    """Find out what is asked for; None where it is none of the calls of inference.

    The classic paths need an `api-version`, the newer ones do without (Azure's API lifecycle document).
    """
    path, _, query = target.partition("?")
    segments = [unquote(part) for part in path.strip("/").split("/")]
    version = parse_qs(query).get("api-version", [""])[0]
    match segments:
        case ["openai", "v1", *rest]:
            return _call(method, rest, "v1", version)
        case ["openai", "deployments", deployment, *rest] if version and tuple(rest) != ("responses",):
            operation = CREATES.get(tuple(rest)) if method == "POST" else None
            return Call(operation, "classic", deployment, None, version) if operation else None
        case ["openai", ("responses" | "models") as kind, *rest] if version:
            return _call(method, [kind, *rest], "classic", version)
        case ["models", *rest] if version and method == "POST":
            return _call(method, rest if rest != ["images", "embeddings"] else rest[1:], "models", version)
        case ["models", "info"] if version and method == "GET":
            return Call("info", "models", None, None, version)
        case _:
            return None


def _call(method: str, rest: list[str], surface: Literal["classic", "v1", "models"], version: str) -> Call | None:
    match method, rest:
        case "POST", _:
            operation = CREATES.get(tuple(rest))
            return Call(operation, surface, None, None, version) if operation else None
        case "GET", ["models"]:
            return Call("models", surface, None, None, version)
        case "GET", ["models", name]:
            return Call("model", surface, None, name, version)
        case _:
            return None
