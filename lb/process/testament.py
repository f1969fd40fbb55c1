"""What workers that died had counted, kept so that no sum ever goes down."""

import os
from typing import Any

import orjson

from lb.admin.merge import left_behind, merged
from lb.shared.room import Room
from lb.telemetry.joining import joined
from lb.telemetry.joining import left_behind as counts_left_behind
from lb.telemetry.tallies import Snapshot

REMEMBERED = 64
"""Process ids of the dead: an office that reads a page just now must not count it twice."""


class Testament:
    """Written by the supervisor on the page after the workers'."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._gone: list[int] = []
        self._status: dict[str, Any] | None = None
        self._metrics: Snapshot = {}

    def open(self, number: int, pid: int) -> None:
        """Worker `number`, process `pid`, has died: add up what it showed last."""
        page = self._room.pages.read(number)
        if page is None or page.pid != pid:
            return  # it died before it showed anything
        content = orjson.loads(page.content)
        last = left_behind(content["status"])
        self._metrics = joined([self._metrics, counts_left_behind(content["metrics"])])
        self._status = last if self._status is None else merged([], [self._status, last])
        self._gone = [*self._gone, pid][-REMEMBERED:]
        content = orjson.dumps({"status": self._status, "metrics": self._metrics, "gone": self._gone})
        self._room.pages.write(self._room.workers, os.getpid(), content)
