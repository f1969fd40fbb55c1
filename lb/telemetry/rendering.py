"""How a line looks: JSON, one object per line, or console, for eyes. Both render any line by `line`, and the two lines
of every attempt by `attempted` and `judged`.

Those two are in the path of every request, so both build them from ready pieces instead of running structlog's
processors over them. Measured on the 2-core development machine (CPython 3.11, 8 backends and 64 targets in turn, the
hand-over to the writer included): `Proxying to` 1.6 us and `Received response` 1.8 us; each costs 4.5 us through
structlog with this module's renderer, and 6.9 us through structlog's stock processors with orjson.
"""

import json
import re
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from lb.events import Attempted, Judged
from lb.telemetry.text import (
    LONGEST,
    MASK,
    escape_json,
    json_string,
    loggable_target,
    loggable_url,
    printable,
    shortened,
)

_BARE = re.compile(r'[^ ="]+')
_MILLISECONDS = [f"{ms:03d}" for ms in range(1000)]


class Clock:
    """Renders the wall clock; everything down to the second is rendered once per second."""

    def __init__(self, wall: Callable[[], float], render: Callable[[int], str]) -> None:
        self._wall = wall
        self._render = render
        self._second = -1
        self._until_second = ""

    def __call__(self) -> str:
        now = self._wall()
        second = int(now)
        if second != self._second:
            self._until_second = self._render(second)
            self._second = second
        return self._until_second + _MILLISECONDS[int((now - second) * 1000)]


class Known(dict[str | None, str]):
    """Rendered pieces by what they were made from. Strangers choose some of the keys, so it is emptied when full."""

    def __init__(self, make: Callable[[Any], str], most: int = 512) -> None:
        super().__init__()
        self._make = make
        self._most = most

    def __missing__(self, key: str | None) -> str:
        if len(self) >= self._most:
            self.clear()
        made = self[key] = self._make(key)
        return made


class Targets(dict[bytes, str]):
    """Targets as lines show them; neither long ones nor those with a secret are kept."""

    def __missing__(self, target: bytes) -> str:
        shown = loggable_target(target)
        if len(target) <= 512 and MASK not in shown:
            if len(self) >= 512:
                self.clear()
            self[target] = shown
        return shown


class Renderer(Protocol):
    def mark(self, worker: int) -> None:
        """Every line from now on tells which worker speaks."""

    def line(
        self, level: str, text: str, fields: Mapping[str, object], error: BaseException | None = None
    ) -> bytes: ...
    def attempted(self, event: Attempted) -> bytes: ...
    def judged(self, event: Judged) -> bytes: ...


def detail_of(event: Judged) -> str:
    """What the verdict adds to the status: that of a plain 429 or 500 repeats it."""
    return "" if event.detail == f"HTTP {event.status}" else event.detail


def judged_text(event: Judged) -> str:
    """What a line says of an attempt that ended; without a status there was no response to receive."""
    if event.status is None:
        return f"No response from {event.backend.name}: {event.detail or event.verdict}"
    return f"Received response {event.status}"


class JsonLines:
    """For machines: timestamp (UTC, ISO 8601), level, the text under `event`, then the fields."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._now = Clock(wall, lambda second: datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S."))
        self._mark: dict[str, object] = {}
        self._tail = ""
        self._targets = Targets()
        self._quoted = Known(lambda text: json_string(shortened(text)))
        self._url = Known(lambda url: json_string(loggable_url(url))[1:-1])
        self._deployments = Known(lambda name: "" if name is None else f',"deployment":{json_string(shortened(name))}')

    def mark(self, worker: int) -> None:
        self._mark = {"worker": worker}
        self._tail = f',"worker":{worker}'

    def line(self, level: str, text: str, fields: Mapping[str, object], error: BaseException | None = None) -> bytes:
        entry = {"timestamp": self._now() + "Z", "level": level, "event": text} | dict(fields) | self._mark
        if error is not None:
            entry["exception"] = "".join(traceback.format_exception(error))[-LONGEST:]
        try:
            rendered = orjson.dumps(entry, default=_foreign, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # lone surrogates, integers beyond 64 bits: rare, and a line must not be lost for them
            rendered = json.dumps(entry, default=_foreign, ensure_ascii=False, skipkeys=True)
        return escape_json(rendered).encode() + b"\n"

    def attempted(self, event: Attempted) -> bytes:
        return (
            f'{{"timestamp":"{self._now()}Z","level":"info",'
            f'"event":"Proxying to {self._url[event.backend.url]}{self._targets[event.target]}",'
            f'"request_id":{json_string(shortened(event.request_id))},"backend":{self._quoted[event.backend.name]},'
            f'"attempt":{event.number}{self._deployments[event.deployment]}{self._tail}}}\n'
        ).encode()

    def judged(self, event: Judged) -> bytes:
        level = "info" if event.status is not None else "warning"
        text = f'"Received response {event.status}"' if event.status is not None else json_string(judged_text(event))
        detail = event.detail and detail_of(event)
        if detail:
            detail = f',"detail":{json_string(shortened(detail))}'
        return (
            f'{{"timestamp":"{self._now()}Z","level":"{level}","event":{text},'
            f'"request_id":{json_string(shortened(event.request_id))},"backend":{self._quoted[event.backend.name]},'
            f'"attempt":{event.number},"ms":{int(event.seconds * 1000 + 0.5)},"verdict":{self._quoted[event.verdict]}'
            f"{self._deployments[event.deployment]}{detail}{self._tail}}}\n"
        ).encode()


_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31;1", "critical": "31;1"}


class ConsoleLines:
    """For eyes: local time, level, text, then `name=value`. Every event is one line; of an exception it shows the type,
    the message and the three innermost places."""

    def __init__(self, wall: Callable[[], float], colour: bool) -> None:
        self._now = Clock(wall, lambda second: datetime.fromtimestamp(second).strftime("%H:%M:%S."))
        self._tail = ""
        self._targets = Targets()
        self._url = Known(loggable_url)
        self._dim, self._reset = ("\x1b[2m", "\x1b[0m") if colour else ("", "")
        self._label = Known(lambda level: f"{level:<7}" if not colour else _coloured(level))

    def mark(self, worker: int) -> None:
        self._tail = f"  worker={worker}"

    def line(self, level: str, text: str, fields: Mapping[str, object], error: BaseException | None = None) -> bytes:
        if error is not None:
            fields = {**fields, "exception": _places(error)}
        named = "".join([f"  {printable(str(name))}={_value(str(value))}" for name, value in fields.items()])
        return self._line(level, printable(shortened(text)), named)

    def attempted(self, event: Attempted) -> bytes:
        text = f"Proxying to {self._url[event.backend.url]}{self._targets[event.target]}"
        return self._line("info", text, f"  attempt={event.number}  request_id={_value(event.request_id)}")

    def judged(self, event: Judged) -> bytes:
        level = "info" if event.status is not None else "warning"
        detail = event.detail and event.status is not None and detail_of(event)
        named = (
            f"  backend={event.backend.name}  attempt={event.number}  ms={int(event.seconds * 1000 + 0.5)}"
            f"{f'  detail={_value(detail)}' if detail else ''}  request_id={_value(event.request_id)}"
        )
        return self._line(level, printable(shortened(judged_text(event))), named)

    def _line(self, level: str, text: str, named: str) -> bytes:
        """From ready texts: nothing in them may need an escape."""
        return f"{self._now()} {self._label[level]} {text}{self._dim}{named}{self._tail}{self._reset}\n".encode()


def _coloured(level: str) -> str:
    return f"\x1b[{_COLOURS.get(level, '0')}m{level:<7}\x1b[0m"


def _value(value: str) -> str:
    text = printable(shortened(value))
    return text if _BARE.fullmatch(text) else '"' + text.replace('"', '\\"') + '"'


def _foreign(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _places(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join([f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames[::-1]])
    return f"{type(error).__name__}: {error} ({places or 'no traceback'})"
