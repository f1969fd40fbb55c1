"""Readers of replies that come whole: a JSON text, or something that says nothing of its cost."""

import json
from typing import Protocol

from lb.metering.estimate import Count
from lb.metering.tail import HELD, Parse, Tail, at_the_end
from lb.metering.usage import Usage


class Reader(Protocol):
    """Reads a reply's cost while its body passes."""

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""

    def reported(self) -> Usage | None:
        """What the reply says of its cost; None when it says nothing that can be read. Asked when no more will come."""

    def counted(self, count: Count | None = None) -> int | None:
        """Tokens of the text that went by, by the reader's own count or by this one; None where none was kept."""


class BodyReader:
    """Reads a JSON reply. Holds what stands behind its usage, which is little; the rest passes. A small one that comes
    in one piece is held as it is."""

    __slots__ = ("_parse", "_piece", "_tail")

    def __init__(self, parse: Parse = json.loads) -> None:
        self._parse = parse
        self._piece = b""
        self._tail: Tail | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._tail is None:
            if not self._piece and len(piece) <= HELD:
                self._piece = piece
                return
            self._tail = Tail()
            self._tail.feed(self._piece)
            self._piece = b""
        self._tail.feed(piece)

    def reported(self) -> Usage | None:
        """What the reply says: the last one counts where a name is there twice, as it does for JSON parsers."""
        if self._tail is not None:
            return self._tail.usage(1)
        found = at_the_end(self._piece, self._parse)
        if found is None:
            tail = Tail()
            tail.feed(self._piece)
            found = tail.usage(1)
        return found

    def counted(self, count: Count | None = None) -> int | None:
        """A reply that comes whole is not held to be counted."""
        return None


class Mute:
    """Speech, pictures, plain text: nothing in it says what it cost."""

    __slots__ = ()

    def feed(self, piece: bytes) -> None:
        """Let it pass."""

    def reported(self) -> Usage | None:
        """Nothing."""
        return None

    def counted(self, count: Count | None = None) -> int | None:
        """Nothing."""
        return None
