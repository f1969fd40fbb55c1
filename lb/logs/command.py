"""Reads the stream and prints it, until it ends."""

import os
import select
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import click

from lb.logs.drawing import Filter, day_of, drawn
from lb.logs.entries import entries_in, shown
from lb.logs.stories import Stories, Told

QUIET_SECONDS = 1.0
LONGEST = 2**20
"""Bytes of a line; what is longer is taken apart."""


def read(stream: BinaryIO, wanted: Filter, *, colour: bool | None) -> None:
    """Tell what comes until the end of the stream, or until nobody reads."""
    screen = Screen(wanted, colour)
    try:
        for line in lines(stream.fileno()):
            screen.hear(line)
        screen.end()
    except KeyboardInterrupt:
        screen.end()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def lines(fd: int) -> Iterator[str | None]:
    """Lines as they come, None when none came for a while."""
    rest = b""
    while True:
        if not select.select([fd], [], [], QUIET_SECONDS)[0]:
            yield None
            continue
        read = os.read(fd, 65_536)
        *whole, rest = (rest + read).split(b"\n")
        if len(rest) > LONGEST or (rest and not read):
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
        if not read:
            return


class Screen:
    """Where stories are printed, and everything else that is wanted."""

    def __init__(self, wanted: Filter, colour: bool | None) -> None:
        self._wanted = wanted
        self._colour = colour
        self._stories = Stories()
        self._day = ""
        self._spread = False
        """A table of JSON is being printed over several lines: most of them are of no concern."""

    def hear(self, line: str | None) -> None:
        """A line, or a silence."""
        if line is None:
            self._tell(self._stories.quiet())
            return
        self._spread = self._spread or line.strip() in ("[", "{", "[{")
        entries = entries_in(line)
        for entry in entries:
            self._tell(self._stories.hear(entry))
        if not entries and line.strip() and not self._spread and self._wanted.takes_foreign:
            click.echo(shown(line, LONGEST), color=self._colour)

    def end(self) -> None:
        """What is known of those that are under way."""
        self._tell(self._stories.close())

    def _tell(self, all_told: Iterable[Told]) -> None:
        for told in all_told:
            if not self._wanted.takes(told):
                continue
            day = day_of(told)
            if day and day != self._day:
                click.echo(click.style(f"{day} (UTC)", dim=True), color=self._colour)
                self._day = day
            click.echo(drawn(told), color=self._colour)
