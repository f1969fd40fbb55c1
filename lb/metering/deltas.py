"""Where the text stands in the events of each API's streams."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_STRING = rb'"%b": ?"([^"\\]*(?:\\.[^"\\]*)*)"'
_NAMES = (b"content", b"reasoning_content", b"refusal", b"arguments", b"text", b"delta")
_FORMS = tuple(re.compile(_STRING % name) for name in _NAMES)


def texts_of(event: Mapping[str, Any]) -> list[str]:
    """The pieces of the answer in one event: of chat, completions, responses, transcriptions."""
    delta = event.get("delta")
    if isinstance(delta, str):
        kind = event.get("type")
        return [] if isinstance(kind, str) and kind.endswith("audio.delta") else [delta]
    choices = event.get("choices")
    if not isinstance(choices, list):
        return []
    return [text for choice in choices if isinstance(choice, dict) for text in _choice(choice) if isinstance(text, str)]


def adopt(data: bytes) -> re.Pattern[bytes]:
    """Finds the texts in events that are like this one, as JSON spells them."""
    return next((form for form in _FORMS if form.search(data)), _FORMS[0])


def _choice(choice: Mapping[str, Any]) -> Iterator[object]:
    yield choice.get("text")
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return
    for name in ("content", "reasoning_content", "refusal"):
        yield delta.get(name)
    calls = delta.get("tool_calls")
    for call in (*(calls if isinstance(calls, list) else ()), {"function": delta.get("function_call")}):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield function.get("arguments")
