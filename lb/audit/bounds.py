"""Makes a record fit: each text within a bound of its own, all together within the record's.

What is said last counts most: the answer first, then the prompt from its last turn back to its first.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

Spare = Callable[[str], str]
_RISKY = re.compile("[\\x7f-\\x9f\\u2028\\u2029]")
"""JSON lets these stand; a terminal or a reader of lines may not."""


class TooLarge(Exception):
    """The record does not fit even without its content."""


def line_of(record: dict[str, Any], field_bytes: int, record_bytes: int) -> bytes:
    """The record as one line of JSON, its newline included, of at most `record_bytes`. Raises `TooLarge`.

    Raises TypeError or ValueError for what JSON does not know.
    """
    line = _dumped(record) + b"\n"
    if len(line) <= min(field_bytes, record_bytes):
        return line  # as nearly all are: then no text in it can be too long
    answer, prompt = record.get("response"), record.get("prompt")
    bare = {name: value for name, value in record.items() if name not in ("response", "prompt")}
    room = record_bytes - len(_dumped(bare)) - 64
    fitting = _Fitting(field_bytes, max(0, room))
    shown = dict(bare)
    if answer is not None:
        shown["response"] = fitting.turns(answer, last_first=False)
    if prompt is not None:
        shown["prompt"] = fitting.turns(prompt, last_first=True)
    if fitting.cut:
        shown["truncated"] = True
    line = _dumped(shown) + b"\n"
    if len(line) > record_bytes:
        raise TooLarge
    return line


class _Fitting:
    """Spends the room of one record."""

    def __init__(self, field_bytes: int, room: int) -> None:
        self._field = field_bytes
        self._room = room
        self.cut = False

    def turns(self, turns: object, *, last_first: bool) -> object:
        """The turns for which there is room, in their own order."""
        if not isinstance(turns, list):
            return self._fitted(turns)
        kept = []
        for turn in reversed(turns) if last_first else turns:
            if self._room < _LEAST:
                self.cut = True
                break
            kept.append(self._fitted(turn))
        return kept[::-1] if last_first else kept

    def _fitted(self, value: object) -> object:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            self._room -= sum(len(_dumped(str(name))) + 2 for name in value) + 2
            return {name: self._fitted(item) for name, item in value.items()}
        if isinstance(value, list):
            self._room -= 2
            return [self._fitted(item) for item in self._while_room(value)]
        self._room -= len(_dumped(value)) + 1
        return value

    def _while_room(self, items: list[object]) -> Iterator[object]:
        for item in items:
            if self._room < _LEAST:
                self.cut = True
                return
            yield item

    def _text(self, text: str) -> str:
        allowed = max(0, min(self._field, self._room - 8))
        length = len(text)
        shown = text if length <= allowed else text[:allowed]
        while (cost := len(_dumped(shown)) - 2) > allowed:
            shown = shown[: max(0, min(len(shown) - 1, len(shown) * allowed // cost))]
        more = length - len(shown) + getattr(text, "beyond", 0)
        if more:
            self.cut = True
            shown += f"...[{more} more]"
            cost += len(shown)  # counted too high, rather than too low
        self._room -= cost + 3
        return shown


_LEAST = 128
"""Bytes of room for which it is worth beginning another turn: its names, its marks, and a few words."""


def _dumped(value: object) -> bytes:
    try:
        raw = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # lone surrogates and numbers beyond 64 bits
        raw = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if raw.isascii() and b"\x7f" not in raw:
        return raw
    rendered = raw.decode()
    return _RISKY.sub(lambda found: f"\\u{ord(found[0]):04x}", rendered).encode()
