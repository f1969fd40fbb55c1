"""A body stream of which a few bytes are replaced."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from lb.balancing.model_scan import ModelScan
from lb.exchange import BodyStream


class Splice:
    """`stream` with `text` in the place of its bytes from `start` to `end`; its length follows."""

    def __init__(self, stream: BodyStream, start: int, end: int, text: bytes) -> None:
        self._stream = stream
        self._start = start
        self._end = end
        self._text = text
        self.length = None if stream.length is None else stream.length + len(text) - (end - start)

    @property
    def prefix(self) -> bytes:
        prefix = self._stream.prefix
        return prefix[: self._start] + (self._text + prefix[self._end :] if self._end <= len(prefix) else b"")

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
        start, end, at = self._start, self._end, 0
        async with aclosing(aiter(self._stream)) as stream:
            async for piece in stream:
                here, at = at, at + len(piece)
                if at <= start or here >= end:
                    yield piece
                    continue
                before = piece[: max(0, start - here)]
                yield before + (self._text if here <= start else b"") + piece[end - here :]
