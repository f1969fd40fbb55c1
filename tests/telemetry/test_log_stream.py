"""Who else speaks in the stream, and in which form."""

import asyncio
import gc
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

Open = Callable[..., Any]


def fail() -> None:
    raise ValueError("first line\nsecond line\x1b[2J")


def test_structlog_lines_are_json_with_time_level_and_event(open_stream: Open) -> None:
    stream = open_stream()
    structlog.get_logger().bind(request_id="r1").warning("Something", count=3, raw=b"\xff", odd={1: Path("/x")})
    assert stream.entries() == [
        {
            "timestamp": "2026-11-21T10:13:19.250Z",
            "level": "warning",
            "event": "Something",
            "request_id": "r1",
            "count": 3,
            "raw": "ÿ",
            "odd": {"1": "/x"},
        }
    ]


def test_a_logger_made_before_the_start_follows(open_stream: Open) -> None:
    early = structlog.get_logger()
    stream = open_stream()
    early.info("hello")
    assert stream.entries()[0]["event"] == "hello"


def test_an_exception_is_one_json_line_with_its_traceback(open_stream: Open) -> None:
    stream = open_stream()
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("It failed")
        logging.getLogger("aiohttp.server").exception("Error handling %s", "request\nX")
    ours, theirs = stream.entries()
    assert (ours["level"], ours["event"]) == ("error", "It failed")
    assert "ValueError: first line\nsecond line" in ours["exception"]
    assert (theirs["event"], theirs["logger"]) == ("Error handling request\nX", "aiohttp.server")
    assert "in fail" in theirs["exception"]


def test_an_exception_is_one_console_line_that_names_the_place(open_stream: Open) -> None:
    stream = open_stream(form="console")
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("It failed")
    (line,) = stream.lines()
    assert "It failed  exception=" in line
    assert r"ValueError: first line\nsecond line\x1b[2J" in line
    assert "test_log_stream.py:" in line
    assert line.isprintable()


def test_libraries_are_heard_from_warning_on(open_stream: Open) -> None:
    stream = open_stream(level="debug")
    for name in ("azure.core.pipeline", "aiohttp.access", "asyncio", "msal.application"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")
    assert [entry["event"] for entry in stream.entries()] == ["trouble"] * 4


def test_azure_identity_may_not_quote_the_reply_that_it_could_not_read(open_stream: Open) -> None:
    stream = open_stream(level="debug")
    logging.getLogger("azure.identity.aio._credentials.chained").warning('Content: {"access_token": "secret"}')
    structlog.get_logger().info("end")
    assert [entry["event"] for entry in stream.entries()] == ["end"]


def test_arguments_that_do_not_fit_their_format_lose_no_line(open_stream: Open) -> None:
    stream = open_stream()
    logging.getLogger("somebody").warning("%d of %d", *["x"])
    assert stream.entries()[0]["event"] == "%d of %d"


def test_warnings_and_what_nobody_caught_come_in_the_same_form(open_stream: Open) -> None:
    stream = open_stream()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful\nplease", UserWarning, stacklevel=1)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    entries = stream.entries()
    assert [entry["level"] for entry in entries] == ["warning", "error", "critical", "info"]
    assert "careful\nplease" in entries[0]["event"]
    assert [entry["event"] for entry in entries[1:]] == [
        "A thread stopped on an error",
        "Stopped by an error that nobody caught",
        "Stopped by the keyboard",
    ]


async def test_an_error_that_asyncio_finds_is_one_line(open_stream: Open) -> None:
    stream = open_stream()

    async def broken() -> None:
        fail()

    task = asyncio.ensure_future(broken())
    await asyncio.wait([task])
    del task
    gc.collect()
    (entry,) = stream.entries()
    assert entry["logger"] == "asyncio"
    assert "was never retrieved" in entry["event"]


def test_below_the_level_nothing_is_written(open_stream: Open) -> None:
    stream = open_stream(level="warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("somebody").info("quiet")
    stream.logs.say("info", "quiet")
    stream.logs.say("error", "loud")
    assert [entry["event"] for entry in stream.entries()] == ["loud"]


def test_an_unknown_level_is_refused_at_once(open_stream: Open) -> None:
    with pytest.raises(KeyError):
        open_stream(level="loud")


def test_what_cannot_be_json_is_still_one_line(open_stream: Open) -> None:
    stream = open_stream()
    structlog.get_logger().info("odd", huge=2**80, lone="a\udc80b", c1="a\x9bb\u202ec")
    (line,) = stream.lines()
    assert line.isprintable()
    entry = orjson.loads(line)
    assert entry["huge"] == 2.0**80, "a reader that knows no such integer takes it for a float"
    assert entry["lone"] == "a\ufffdb"


def test_terminal_controls_are_escaped_in_json_too(open_stream: Open) -> None:
    stream = open_stream()
    structlog.get_logger().info("a\x9b31m\x7f\u202e\n")
    (line,) = stream.lines()
    assert line.isprintable()
    assert orjson.loads(line)["event"] == "a\x9b31m\x7f\u202e\n"


def test_console_lines_show_time_level_text_and_fields(open_stream: Open) -> None:
    stream = open_stream(form="console")
    stream.logs.say("info", "Listening", port=8080, note="two words", empty="", quoted='a"b')
    (line,) = stream.lines()
    assert line[12:] == r' info    Listening  port=8080  note="two words"  empty=""  quoted="a\"b"'
    assert line[2] == line[5] == ":"


@pytest.mark.parametrize("fields", [{"request_id": "r1  attempt=9"}, {"request_id": "r1\nforged line"}])
def test_a_value_cannot_forge_another_field_or_line(open_stream: Open, fields: dict[str, Any]) -> None:
    stream = open_stream(form="console", colour=True)
    stream.logs.say("info", "Text\r\x1b[2K", **fields)
    (line,) = stream.lines()
    bare = line.replace("\x1b[32m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert bare.isprintable()
    assert " attempt=9 " not in bare
    assert r"Text\r\x1b[2K" in bare


def test_closing_gives_everything_back(open_stream: Open) -> None:
    before = (sys.excepthook, threading.excepthook, sys.unraisablehook, logging.getLogger().handlers[:])
    level = logging.getLogger().level
    open_stream().logs.close()
    assert before == (sys.excepthook, threading.excepthook, sys.unraisablehook, logging.getLogger().handlers)
    assert logging.getLogger().level == level
    assert logging.getLogger("azure").level == logging.NOTSET
