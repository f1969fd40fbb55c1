"""What an operation hands to the wire, and what every operation needs to make it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lb.sim.ledger import Usage
from lb.sim.tokens import prompt_tokens, wanted_tokens, words

REASONING_TOKENS = 8
"""What thinking costs where a request asks for it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream. `tokens` is what of the answer it carries."""

    data: bytes
    name: str | None = None
    tokens: int = 0
    opening: bool = False
    """It comes before content: a client that saw only such events has seen nothing of the answer."""
    usage: bool = False
    """It exists only to carry the usage."""


DONE = Event(b"[DONE]")
"""The end of the streams that have one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply's body or its events, and what it cost."""

    usage: Usage
    body: dict[str, Any] | None = None
    events: tuple[Event, ...] = ()
    reported: bool = True
    """The client is told the usage."""
    charged: bool = True
    """It is entered in the books; what is shown a second time is not."""


class Ids:
    """Makes ids that look like Azure's and are the same again under the same seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, prefix: str) -> str:
        return f"{prefix}{self._rng.getrandbits(112):028x}"

    def uuid(self) -> str:
        text = f"{self._rng.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class Desk:
    """What an operation works with: ids, the date, the names to put on a reply."""

    ids: Ids
    now: int
    """Seconds since 1970."""
    model: str
    reply_tokens: int = 16
    embedding_size: int = 1536
    cached: int = 0
    """Tokens of the prompt that the resource had in its cache."""


@dataclass(frozen=True, slots=True)
class Speech:
    """The words of an answer before any API dressed them."""

    parts: list[str]
    cut: bool
    """It ended because the request allows no more."""
    usage: Usage
    tool: str | None = None
    """The function to call; `parts` are then the pieces of its arguments."""

    @property
    def text(self) -> str:
        return "".join(self.parts)


def compose(body: Mapping[str, Any], desk: Desk, answers: int = 1) -> Speech:
    """Decide what to say. A request with tools gets a call of one, until it brings the tool's result."""
    prompt = prompt_tokens(body)
    thinking = REASONING_TOKENS if body.get("reasoning_effort") or body.get("reasoning") else 0
    tool, schema = _chosen_tool(body)
    shape = schema or _asked_shape(body)
    if shape is not None:
        text = orjson.dumps(instance(shape)).decode()
        parts, cut = [text[i : i + 6] for i in range(0, len(text), 6)], False
    else:
        wanted = wanted_tokens(body)
        length = max(1, min(wanted or desk.reply_tokens, desk.reply_tokens))
        parts, cut = words(length, prompt), wanted is not None and wanted < desk.reply_tokens
    return Speech(parts, cut, Usage(prompt, len(parts) * answers + thinking, desk.cached, thinking), tool)


def _chosen_tool(body: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    choice = body.get("tool_choice", "auto")
    if choice == "none" or _has_result(body):
        return None, None
    wanted = (choice.get("function") or choice).get("name") if isinstance(choice, dict) else None
    for tool in body.get("tools") or ():
        function = tool.get("function") or tool
        if tool.get("type") == "function" and wanted in (None, function.get("name")):
            return function.get("name", ""), function.get("parameters") or {}
    return None, None


def _has_result(body: Mapping[str, Any]) -> bool:
    turns = body.get("messages") or body.get("input")
    last = turns[-1] if isinstance(turns, list) and turns else None
    return isinstance(last, dict) and (last.get("role") == "tool" or last.get("type") == "function_call_output")


def _asked_shape(body: Mapping[str, Any]) -> dict[str, Any] | None:
    asked = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    if asked.get("type") == "json_schema":
        shape: dict[str, Any] = (asked.get("json_schema") or asked).get("schema") or {}
        return shape
    return {"type": "object"} if asked.get("type") == "json_object" else None


def instance(schema: Mapping[str, Any]) -> Any:
    """The simplest value that a JSON schema allows."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: instance(inner) for name, inner in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [instance(schema["items"])] if schema.get("items") else []
    return {"string": "sample", "integer": 1, "number": 1.5, "boolean": True}.get(kind)
