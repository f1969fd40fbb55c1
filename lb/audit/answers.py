"""What was answered: choices or items as `{"role": ..., "content": ...}`, whole or put together from a stream.

A stream is read as the official SDKs read it (events by the rules in `lb.metering.sse`, up to `[DONE]`). Of one that
was cut, what the client got is put together.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lb.audit.prompts import Turn, as_text, calls_of, content_text, item_turn
from lb.audit.stitching import Stitched
from lb.metering.sse import EventReader

FLOAT_BYTES = 4
"""Of a number in a vector that comes as base64."""


def answer_of(told: object) -> list[Turn]:
    """The answer in a JSON reply. What is not known is given as its JSON text."""
    if not isinstance(told, dict):
        return [{"content": as_text(told)}]
    if told.get("error"):
        return [{"error": as_text(told["error"])}]
    if isinstance(told.get("choices"), list):
        return [_choice(place, choice) for place, choice in enumerate(told["choices"])]
    if isinstance(told.get("output"), list):
        return [item_turn(item) for item in told["output"]]
    if told.get("object") == "list" and isinstance(told.get("data"), list):
        return [_vectors(told["data"])]
    if isinstance(told.get("text"), str):
        return [{"content": told["text"]}]
    return [{"content": as_text(told)}]


def answer_of_stream(body: bytes) -> tuple[list[Turn], str | None]:
    """The answer in an event stream, as far as it came, and the model that gave it."""
    stitched = Stitched()
    for event in _events(body):
        stitched.take(event)
    return stitched.turns(), stitched.model


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    reader = EventReader(len(body) + 2)
    for event in (*reader.feed(body), *reader.end()):
        if event.data.startswith(b"[DONE]"):
            return
        try:
            told = json.loads(event.data.decode("utf-8", "replace"), strict=False)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict):
            yield told


def _choice(place: int, choice: object) -> Turn:
    if not isinstance(choice, dict):
        return {"index": place, "content": as_text(choice)}
    message = choice.get("message")
    said: Mapping[str, Any] = message if isinstance(message, dict) else {"content": choice.get("text")}
    found = {
        "index": choice.get("index", place),
        "role": as_text(said.get("role")),
        "content": content_text(said.get("content")),
        "reasoning": as_text(said.get("reasoning_content")),
        "refusal": as_text(said.get("refusal")),
        "audio": _transcript(said.get("audio")),
        "tool_calls": calls_of(said),
        "finish_reason": as_text(choice.get("finish_reason")),
    }
    return {name: value for name, value in found.items() if value or name in ("index", "content")}


def _transcript(audio: object) -> str:
    return as_text(audio.get("transcript")) if isinstance(audio, dict) else ""


def _vectors(rows: list[Any]) -> Turn:
    """Of embeddings only how many and how long: they can be turned back into text, and are of no use to a reader."""
    first = rows[0].get("embedding") if rows and isinstance(rows[0], dict) else None
    if first is None:
        return {"content": as_text(rows)}
    numbers = len(first) if isinstance(first, list) else len(as_text(first).rstrip("=")) * 3 // 4 // FLOAT_BYTES
    return {"embeddings": len(rows), "dimensions": numbers}
