"""Stories and lines as text for eyes."""

from typing import Any

import click

from lb.logs.entries import Entry, shown
from lb.logs.stories import Story, Told, Try

_LEVELS = {"debug": None, "info": None, "warning": "yellow", "error": "red", "critical": "red"}
_TOLD = ("timestamp", "level", "event", "request_id", "seconds", "backend", "deployment")
"""Fields of a line that stand elsewhere in what is drawn."""


class Filter:
    """What is wanted of it all."""

    def __init__(self, request: str | None, backend: str | None, *, failovers: bool) -> None:
        self._request = request
        self._backend = backend and backend.lower()
        self._failovers = failovers

    @property
    def takes_foreign(self) -> bool:
        """Are lines wanted that are none of ours?"""
        return not (self._request or self._backend or self._failovers)

    def takes(self, told: Told) -> bool:
        if isinstance(told, Story):
            return (
                self._request in (None, told.request_id)
                and (not self._backend or any(one.backend.lower() == self._backend for one in told.tries))
                and not (self._failovers and told.plain)
            )
        return (
            self._request in (None, told.get("request_id"))
            and (not self._backend or str(told.get("backend", "")).lower() == self._backend)
            and not (self._failovers and told.get("level") in ("info", "debug") and "backend" not in told)
        )


def drawn(told: Told) -> str:
    """One or more lines, without the last newline."""
    return _story(told) if isinstance(told, Story) else _line(told)


def _story(story: Story) -> str:
    head = f"{_time(story.timestamp)}  {click.style(shown(story.request_id), bold=True)}"
    if len(story.tries) == 1 and not story.end:
        return f"{head}  {_try(story.tries[0])}"
    count = len(story.tries)
    lines = [f"{head}  {f'{count} attempts' if count != 1 else '1 attempt'}"]
    lines += [f"    {_try(one)}" for one in story.tries]
    if story.end:
        lines.append(f"    {click.style('=> ' + shown(story.end), fg='red')}")
    return "\n".join(lines)


def _try(one: Try) -> str:
    good = one.verdict == "relayed" and (one.status or 0) < 400
    status = click.style(f"{one.status or '---'}", fg="green" if good else "red" if one.verdict else None, bold=True)
    parts = [status, shown(one.backend)]
    if one.deployment:
        parts.append(shown(one.deployment))
    parts.append("is under way" if one.ms is None else f"{one.ms} ms")
    if one.verdict not in ("relayed", ""):
        parts.append(click.style(one.verdict, fg="yellow"))
    if one.left_alone is not None:
        parts.append(click.style(f"left alone for {one.left_alone:g} s", fg="yellow"))
    if one.detail:
        parts.append(f"({shown(one.detail)})")
    return "  ".join(parts)


def _line(entry: Entry) -> str:
    level = str(entry.get("level", "info"))
    text = click.style(shown(entry["event"]), fg=_LEVELS.get(level))
    deployment = entry.get("deployment")
    where = f"  {shown(deployment)}" if deployment else ""
    named = "".join(f"  {shown(name)}={shown(value)}" for name, value in _others(entry))
    return f"{_time(str(entry.get('timestamp', '')))}  {text}{where}{click.style(named, dim=True) if named else ''}"


def _others(entry: Entry) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in entry.items() if name not in _TOLD and value is not None]


def _time(timestamp: str) -> str:
    """UTC, down to the millisecond: the day stands once, where it begins."""
    return click.style(shown(timestamp[11:23] or "-", 12), dim=True)


def day_of(told: Told) -> str:
    """`2026-11-21`, where the line says it."""
    timestamp = told.timestamp if isinstance(told, Story) else str(told.get("timestamp", ""))
    return shown(timestamp[:10], 10)
