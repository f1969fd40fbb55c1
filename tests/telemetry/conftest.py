"""A log stream whose other end the test reads."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from lb.telemetry.log import Logs

MOMENT = 1795255999.25
"""2026-11-21T10:13:19.250Z"""


@dataclass
class Stream:
    logs: Logs
    read_end: int

    def lines(self) -> list[str]:
        """Everything written so far, newlines checked and removed."""
        assert self.logs.writer.flush()
        raw = os.read(self.read_end, 1 << 20).decode()
        assert raw.endswith("\n")
        return raw[:-1].split("\n")

    def entries(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.lines()]


Open = Callable[..., Stream]


@pytest.fixture
def open_stream() -> Iterator[Open]:
    opened: list[tuple[Stream, int]] = []

    def make(**options: Any) -> Stream:
        read_end, write_end = os.pipe()
        stream = Stream(Logs.open(lambda: MOMENT, fd=write_end, **options), read_end)
        opened.append((stream, write_end))
        return stream

    yield make
    for stream, write_end in opened:
        stream.logs.close()
        os.close(write_end)
        os.close(stream.read_end)
