"""How an event stream's events become bytes, plain or with the oddities that real streams show."""

import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import orjson

from lb.sim.answer import DONE, Event

Piece = tuple[bytes, int]
"""Bytes that are written at once, and how many tokens of the answer are complete with them."""


@dataclass(frozen=True, slots=True)
class Style:
    """The names of the catalogue's stream oddities that apply."""

    odd: Collection[str] = ()

    @property
    def tells_usage(self) -> bool:
        return "no-usage" not in self.odd and "null-usage" not in self.odd

    def pieces(self, events: Iterable[Event], rng: random.Random) -> Iterator[Piece]:
        """Render a stream, piece by piece as it is to be written."""
        if not self.odd:
            return map(plain, events)
        pieces = self._rendered(list(self._chosen(events)))
        if "coalesce" in self.odd:
            pieces = _joined(pieces, 3)
        return _split(pieces, rng) if "split" in self.odd else pieces

    def _chosen(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            if event is DONE:
                if "no-done" not in self.odd:
                    yield event
            elif self.tells_usage:
                yield event
            elif not (event.usage and "no-usage" in self.odd):
                yield _untold(event, "null-usage" in self.odd)

    def _rendered(self, events: list[Event]) -> Iterator[Piece]:
        end = b"\r\n" if "crlf" in self.odd else b"\r" if "cr" in self.odd else b"\n"
        for i, event in enumerate(events):
            data, tokens = plain(event)
            if "comments" in self.odd:
                data = b": keep-alive\n\n" + data
            if "no-final-blank" in self.odd and i == len(events) - 1:
                data = data[:-1]
            if "bom" in self.odd and i == 0:
                data = b"\xef\xbb\xbf" + data
            yield data.replace(b"\n", end), tokens


def plain(event: Event) -> Piece:
    """An event as everybody writes it."""
    if event.name is None:
        return b"data: %b\n\n" % event.data, event.tokens
    return b"event: %b\ndata: %b\n\n" % (event.name.encode(), event.data), event.tokens


def _untold(event: Event, null: bool) -> Event:
    """The same event without its usage, or with null in its place."""
    if b'"usage":' not in event.data:
        return event
    body = orjson.loads(event.data)
    place = body.get("response", body)
    if null:
        place["usage"] = None
    else:
        place.pop("usage", None)
    return Event(orjson.dumps(body), event.name, event.tokens, event.opening)


def _joined(pieces: Iterator[Piece], most: int) -> Iterator[Piece]:
    held: list[Piece] = []
    for piece in pieces:
        held.append(piece)
        if len(held) == most:
            yield b"".join(data for data, _ in held), sum(tokens for _, tokens in held)
            held.clear()
    if held:
        yield b"".join(data for data, _ in held), sum(tokens for _, tokens in held)


def _split(pieces: Iterator[Piece], rng: random.Random) -> Iterator[Piece]:
    for data, tokens in pieces:
        at = 0
        while at < len(data):
            size = rng.randint(1, 40)
            at += size
            yield data[at - size : at], tokens if at >= len(data) else 0
