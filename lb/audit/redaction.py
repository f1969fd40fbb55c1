"""Takes out of prompts and answers what must not be kept: by named patterns, then by a function of the operator's.

A function that raises, or gives back something else than a record, costs the record its content: nothing leaks by it.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

Record = dict[str, Any]
Hook = Callable[[Record], Record | None]
CONTENT = ("prompt", "response", "tools", "user", "model")
"""What patterns are applied to, and what is dropped with the content."""
CHOSEN = ("request_id", "forwarded_for", "path", "deployment")
"""What the caller chose as well, outside its bodies: patterns are applied, and what they fail on is left out."""
LIMITS = {"user": 128, "model": 128, "tools": 128, "forwarded_for": 256, "path": 1024}
"""Characters that are kept: else these could be so long that there is no room for the prompt."""


class TookTooLong(BaseException):
    """Patterns or the operator's function. No `Exception`, so that a function that catches those lets it pass."""


_FAILURES = (Exception, SystemExit, TookTooLong)


class Long(str):
    """A text of which only the beginning is here."""

    beyond = 0


class Redaction:
    """`patterns` by name. `hook` is given the record when they have been applied; it returns it, or None to drop it.

    Of a text no more than `most` characters are kept, cut when the patterns have seen all of it: what they would have
    found is not kept in part. `within` limits the time that all this may take, by an exception: some patterns need
    hours for some texts.
    """

    def __init__(
        self,
        patterns: Mapping[str, str],
        hook: Hook | None = None,
        most: int = 64 * 1024,
        within: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._patterns = [(name, re.compile(pattern)) for name, pattern in patterns.items()]
        self._hook = hook
        self._most = most
        self._within = within

    def chosen(self, facts: Record) -> Record:
        """The facts, with the patterns applied to what the caller chose among them. Never raises."""
        found: dict[str, int] = {}
        kept = dict(facts)
        try:
            with self._within() if self._patterns else nullcontext():
                for name in CHOSEN:
                    if isinstance(kept.get(name), str):
                        kept[name] = self._replaced(kept[name], found)[: LIMITS.get(name)]
        except _FAILURES:
            return {name: value for name, value in facts.items() if name not in CHOSEN}
        return kept | {"redacted": found} if found else kept

    def apply(self, record: Record) -> Record | None:
        """The record as it may be kept; None where it may not be at all. Never raises."""
        bare = dict(record)  # what the function does to the record it was given is not trusted once it has raised
        try:
            with self._within():
                told = self._applied(record)
        except _FAILURES as failure:
            return without_content(bare, f"redaction failed: {type(failure).__name__}")
        if told is None or isinstance(told, dict):
            return told
        return without_content(bare, "the hook gave back no record")

    def _applied(self, record: Record) -> object:
        found: dict[str, int] = dict(record.get("redacted", {}))
        for name in CONTENT:
            if name in record:
                record[name] = self._redacted(record[name], found, min(self._most, LIMITS.get(name, self._most)))
        if found:
            record["redacted"] = found
        return record if self._hook is None else self._hook(record)

    def _redacted(self, value: object, found: dict[str, int], most: int) -> object:
        if isinstance(value, str):
            return self._text(value, found, most)
        if isinstance(value, dict):
            return {key: self._redacted(item, found, most) for key, item in value.items()}
        return [self._redacted(item, found, most) for item in value] if isinstance(value, list) else value

    def _text(self, text: str, found: dict[str, int], most: int) -> str:
        shown = self._replaced(text, found)
        if len(shown) <= most:
            return shown
        long = Long(shown[:most])
        long.beyond = len(shown) - most
        return long

    def _replaced(self, text: str, found: dict[str, int]) -> str:
        for name, pattern in self._patterns:
            text, times = pattern.subn(f"[{name}]", text)
            if times:
                found[name] = found.get(name, 0) + times
        return text


def without_content(record: Record, why: str) -> Record:
    """What remains of it, and why it has no content."""
    return {name: value for name, value in record.items() if name not in CONTENT} | {"content_dropped": why}


def load_hook(entry: str) -> Hook:
    """The function behind `module:function`. Raises ImportError, AttributeError, or whatever the module raises."""
    module, _, name = entry.partition(":")
    hook: Hook = getattr(import_module(module), name)
    if not callable(hook):
        raise AttributeError(f"{entry} is no function")
    return hook


def refusing(record: Record) -> Record:
    """Stands in for a hook that could not be loaded: no content is kept without it."""
    raise RuntimeError("the hook could not be loaded")
