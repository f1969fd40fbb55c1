"""What workers that died had counted, kept so that no sum ever goes down."""

import os
from typing import Any

import orjson

from lb.admin.merge import left_behind, merged
from lb.shared.room import Room

REMEMBERED = 64
"""Process ids of the dead: an office that reads a page just now must not count it twice."""


class Testament:
    """Written by the supervisor on the page after the workers'."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._gone: list[int] = []
        self._status: dict[str, Any] | None = None

    def open(self, number: int, pid: int) -> None:
        """Worker `number`, process `pid`, has died: add up what it showed last."""
        page = self._room.pages.read(number)
        if page is None or page.pid != pid:
            return  # it died before it showed anything
        last = left_behind(orjson.loads(page.content)["status"])
        self._status = last if self._status is None else merged([], [self._status, last])
        self._gone = [*self._gone, pid][-REMEMBERED:]
        content = orjson.dumps({"status": self._status, "gone": self._gone})
        self._room.pages.write(self._room.workers, os.getpid(), content)
