"""A body stream whose beginning was rewritten."""

from collections.abc import AsyncIterator

from lb.exchange import BodyStream


class Splice:
    """`stream` with `prefix` in the place of its own; its length follows."""

    def __init__(self, stream: BodyStream, prefix: bytes) -> None:
        self._stream = stream
        self._skip = len(stream.prefix)
        self.prefix = prefix
        self.length = None if stream.length is None else stream.length + len(prefix) - self._skip

    @property
    def started(self) -> bool:
        return self._stream.started

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.prefix
        skip = self._skip
        async for chunk in self._stream:
            rest = chunk[skip:]
            skip = max(0, skip - len(chunk))
            if rest:
                yield rest
