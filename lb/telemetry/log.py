"""Log lines: structlog and the standard library's loggers share one renderer and one writer, so that the stream has one
format, whoever speaks.

`Logs.open` at the start of the process, before the first line; `close` at its end. `lines.LogLines` tells what the
spine does.
"""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, Literal

import structlog

from lb.telemetry.rendering import ConsoleLines, JsonLines, Renderer
from lb.telemetry.writer import Writer

QUIET = {
    "azure": logging.WARNING,
    "azure.identity": logging.ERROR,
    "msal": logging.WARNING,
    "urllib3": logging.WARNING,
    "aiohttp": logging.WARNING,
    "asyncio": logging.WARNING,
}
"""Libraries that tell below these levels what nobody needs. azure-identity's warnings quote the reply that it could not
read, which may hold a token; `wire.credentials` tells of every failure itself."""


class Logs:
    """The process's log stream."""

    def __init__(self, renderer: Renderer, writer: Writer, level: str) -> None:
        self.renderer = renderer
        self.writer = writer
        self.threshold = _number(level)
        self._undo: list[Callable[[], object]] = []

    @classmethod
    def open(
        cls,
        wall: Callable[[], float],
        fd: int = 1,
        form: Literal["json", "console"] | None = None,
        level: str = "info",
        colour: bool | None = None,
    ) -> "Logs":
        """Take over structlog, the standard library's loggers, warnings and what is uncaught.

        `wall` is seconds since the epoch. Without `form` a terminal gets console lines and anything else JSON; without
        `colour` a terminal gets colours. Raises `KeyError` for an unknown level.
        """
        terminal = os.isatty(fd)
        console = form == "console" or (form is None and terminal)
        renderer: Renderer = ConsoleLines(wall, terminal if colour is None else colour) if console else JsonLines(wall)
        logs = cls(renderer, Writer(fd, lambda count: _lost(renderer, count)), level)
        logs._take_structlog()
        logs._take_loggers()
        logs._take_the_uncaught()
        atexit.register(logs.close)
        os.register_at_fork(after_in_child=logs.writer.after_fork)
        return logs

    def close(self, timeout: float = 2.0) -> None:
        """Write what is left, waiting at most `timeout` seconds, and give back what `open` took. Idempotent."""
        while self._undo:
            self._undo.pop()()
        atexit.unregister(self.close)
        self.writer.close(timeout)

    def say(self, level: str, text: str, /, error: BaseException | None = None, **fields: object) -> None:
        """Write one line where the level lets it pass."""
        if _number(level) >= self.threshold:
            self.writer.write(self.renderer.line(level, text, fields, error))

    def report(self, event: str, **facts: Any) -> None:
        """One line of the rim for the operator; with the fact `error`, an exception, it is a bug of ours."""
        self.say("error" if "error" in facts else "warning", event, **facts)

    def _take_structlog(self) -> None:
        structlog.configure(
            processors=[self._render],
            wrapper_class=structlog.make_filtering_bound_logger(self.threshold),
            logger_factory=lambda *_: _Sink(self.writer.write),
            cache_logger_on_first_use=True,
        )
        self._undo.append(structlog.reset_defaults)

    def _render(self, _: object, level: str, event: MutableMapping[str, Any]) -> bytes:
        text, error = str(event.pop("event", "")), _error(event.pop("exc_info", None))
        return self.renderer.line(level, text, event, error)

    def _take_loggers(self) -> None:
        root = logging.getLogger()
        kept = root.handlers[:]
        root.handlers[:] = [_Forward(self)]
        self._undo.append(lambda: root.handlers.__setitem__(slice(None), kept))
        self._set_level(root, self.threshold)
        for name, level in QUIET.items():
            self._set_level(logging.getLogger(name), max(level, self.threshold))
        logging.captureWarnings(True)
        self._undo.append(lambda: logging.captureWarnings(False))

    def _set_level(self, logger: logging.Logger, level: int) -> None:
        before = logger.level
        logger.setLevel(level)
        self._undo.append(lambda: logger.setLevel(before))

    def _take_the_uncaught(self) -> None:
        """What nobody caught would go to stderr over several lines."""
        main, thread, lost = sys.excepthook, threading.excepthook, sys.unraisablehook
        sys.excepthook = self._stopped
        threading.excepthook = lambda args: self.say("error", "A thread stopped on an error", args.exc_value)
        sys.unraisablehook = lambda args: self.say("error", "An error could not be raised", args.exc_value)

        def give_back() -> None:
            sys.excepthook, threading.excepthook, sys.unraisablehook = main, thread, lost

        self._undo.append(give_back)

    def _stopped(self, kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self.say("info", "Stopped by the keyboard")
        else:
            self.say("critical", "Stopped by an error that nobody caught", error)


class _Sink:
    """What structlog writes to: any level, one rendered line."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = write


class _Forward(logging.Handler):
    """Sends the standard library's records the same way as ours."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # the arguments do not fit the format: not worth losing the line for
            text = str(record.msg)
        fields = {"logger": record.name}
        line = self._logs.renderer.line(record.levelname.lower(), text, fields, _error(record.exc_info))
        self._logs.writer.write(line)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _error(exc_info: object) -> BaseException | None:
    """The exception behind any of the forms that `exc_info` may take."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info is True:
        exc_info = sys.exception()
    return exc_info if isinstance(exc_info, BaseException) else None


def _lost(renderer: Renderer, count: int) -> bytes:
    text = f"{count} log lines were lost: whoever reads this stream was too slow or gone"
    return renderer.line("warning", text, {"lost": count})
