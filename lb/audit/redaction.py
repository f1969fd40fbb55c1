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
CONTENT = ("prompt", "response", "tools", "user")
"""What patterns are applied to, and what is dropped with the content."""


MARGIN = 1024
"""Characters beyond what may be shown to which patterns are applied as well, so that none is cut in two there."""


class Long(str):
    """A text of which only the beginning is here."""

    beyond = 0


class Redaction:
    """`patterns` by name. `hook` is given the record when they have been applied; it returns it, or None to drop it.

    Of a text no more than `most` characters are looked at and kept. `within` limits the time that all this may take, by
    an exception: some patterns need hours for some texts.
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

    def apply(self, record: Record) -> Record | None:
        """The record as it may be kept; None where it may not be at all. Never raises."""
        bare = dict(record)  # what the function does to the record it was given is not trusted once it has raised
        try:
            with self._within():
                told = self._applied(record)
        except (Exception, SystemExit) as failure:
            return without_content(bare, f"redaction failed: {type(failure).__name__}")
        if told is None or isinstance(told, dict):
            return told
        return without_content(bare, "the hook gave back no record")

    def _applied(self, record: Record) -> object:
        found: dict[str, int] = {}
        for name in CONTENT:
            if name in record:
                record[name] = self._redacted(record[name], found)
        if found:
            record["redacted"] = found
        return record if self._hook is None else self._hook(record)

    def _redacted(self, value: object, found: dict[str, int]) -> object:
        if isinstance(value, str):
            return self._text(value, found)
        if isinstance(value, dict):
            return {key: self._redacted(item, found) for key, item in value.items()}
        return [self._redacted(item, found) for item in value] if isinstance(value, list) else value

    def _text(self, text: str, found: dict[str, int]) -> str:
        looked_at = text[: self._most + MARGIN]
        shown = looked_at
        for name, pattern in self._patterns:
            shown, times = pattern.subn(f"[{name}]", shown)
            if times:
                found[name] = found.get(name, 0) + times
        beyond = len(text) - len(looked_at)
        if not beyond:
            return shown
        long = Long(shown[:-MARGIN])  # what the cut may have left of something is within the margin
        long.beyond = beyond + MARGIN
        return long


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
