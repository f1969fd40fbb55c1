"""A body stream that is read along, so that no backend gets the end of one which names its model twice."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from lb.balancing.backend import Backend
from lb.balancing.form_scan import FormScan
from lb.balancing.json_scan import JsonScan
from lb.balancing.model_field import Ambiguous
from lb.balancing.model_scan import SLICE, ModelScan, Scan
from lb.balancing.multipart import boundary_of
from lb.balancing.routing import Place, Unroutable, needs_name
from lb.exchange import BodyStream


class Scanned:
    """`stream`, byte for byte, whose iteration raises `Unroutable` before the bytes that name a second `model`."""

    def __init__(self, stream: BodyStream, place: Place, content_type: bytes) -> None:
        """`place` is where the stream's prefix names its model."""
        self._stream = stream
        self._place = place
        self._content_type = content_type
        self.length = stream.length
        self.prefix = stream.prefix

    @property
    def started(self) -> bool:
        return self._stream.started

    @property
    def whole(self) -> bool:
        return self._stream.whole

    @property
    def seen(self) -> ModelScan | None:
        return self._stream.seen

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        scan = self._scan()
        async with aclosing(aiter(self._stream)) as stream:
            async for chunk in stream:
                for at in range(0, len(chunk), SLICE):
                    piece = chunk[at : at + SLICE]
                    try:
                        scan.feed(piece)
                    except Ambiguous as problem:
                        raise Unroutable(str(problem)) from None
                    yield piece
                    if len(piece) == SLICE:
                        await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop for everybody else, no time

    def _scan(self) -> Scan:
        if self._place is Place.FORM:
            return FormScan(boundary_of(self._content_type) or b"")
        return JsonScan()


def looked_through(stream: BodyStream) -> bool:
    """Is it kept whole, and was it searched while it came in?"""
    return stream.whole and stream.seen is not None


def read_along(
    body: bytes | BodyStream,
    place: Place,
    content_type: bytes,
    backends: Iterable[Backend],
    *,
    restricted: bool = False,
) -> bytes | BodyStream:
    """The body as it may be sent. One that is kept whole has been looked at, and where every deployment may be
    called, by every tenant (else it is `restricted`), a second `model` leads nowhere that the first could not."""
    if isinstance(body, bytes) or looked_through(body) or place not in (Place.JSON, Place.FORM):
        return body
    if restricted or any(map(needs_name, backends)):
        return Scanned(body, place, content_type)
    return body
