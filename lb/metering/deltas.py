"""Where the text stands in the events of each API's streams."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = (b"content", b"reasoning_content", b"refusal", b"arguments", b"text", b"delta")


class Form:
    """Finds the texts in events that write them as the member of this name, with these blanks."""

    __slots__ = ("_opening", "_pattern", "search")

    def __init__(self, name: bytes, blanks: bytes) -> None:
        self._opening = b'"%b":%b"' % (name, blanks)
        self._pattern = re.compile(re.escape(self._opening) + rb'([^"\\]*(?:\\.[^"\\]*)*)"')
        self.search = self._pattern.search

    def all_in(self, events: bytes) -> list[bytes]:
        """The texts as JSON spells them."""
        if b'\\"' in events:
            return self._pattern.findall(events)
        return [part.partition(b'"')[0] for part in events.split(self._opening)[1:]]


_FORMS = tuple(Form(name, blanks) for name in _NAMES for blanks in (b"", b" "))
CONTENT = _FORMS[0]


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


def adopt(data: bytes) -> Form:
    """The form in which an event like this one writes its text."""
    return next((form for form in _FORMS if form.search(data)), CONTENT)


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
