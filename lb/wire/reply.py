"""A backend's reply as the spine sees it, and what it keeps until somebody takes it."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from lb.exchange import ClientGone, Headers, Receiver, Sender, Upstream
from lb.wire.plain_head import field_of, fields_of

HOLD_LIMIT: Final = 256 * 1024
"""Bytes that are kept for somebody who has not asked for them yet; then the backend has to wait."""


class Source(Protocol):
    """What a reply needs of the connection that it comes from."""

    receiver: Receiver | None

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abandon(self) -> None:
        """Nobody wants the rest."""

    def join(self, sender: Sender) -> Upstream: ...


class _Nowhere:
    """The way toward a backend that is gone already; whoever relays will hear of it."""

    blocked = False

    def send(self, data: bytes) -> None: ...


class BackendReply:
    """Implements `lb.exchange.Reply`.

    The connection pushes pieces in by `hold` (or, once `relay` has set a receiver, hands them to it directly), and ends
    by `finish` or `fail`. From then on the reply no longer knows the connection, which may serve another request.
    """

    ended = False
    _lowered = b""
    _kind: bytes | None = None
    _kind_known = False
    _held_bytes = 0
    _seen = 0
    _paused = False
    _overfull = False
    _waiter: asyncio.Future[None] | None = None
    _failure: Exception | None = None

    def __init__(
        self, source: Source, status: int, reason: bytes, headers: Headers, length: int | None, raw: bytes = b""
    ) -> None:
        """`raw` is a plain head (see `plain_head`), and then `headers` are read from it when they are asked for."""
        self.raw = raw
        self.status = status
        self.reason = reason
        self.length = length
        self._headers = headers
        self._source: Source | None = source
        self._held: list[bytes] = []

    @property
    def headers(self) -> Headers:
        if self.raw and not self._headers:
            self._headers = fields_of(self.raw)
        return self._headers

    def get(self, name: bytes) -> bytes | None:
        if name != b"content-type":
            return self._find(name)
        if not self._kind_known:  # which everybody asks for who looks at a reply
            self._kind, self._kind_known = self._find(name), True
        return self._kind

    def _find(self, name: bytes) -> bytes | None:
        if self.raw:
            self._lowered = self._lowered or self.raw.lower()
            return field_of(self.raw, self._lowered, name)
        size = len(name)
        for field, value in self._headers:
            if len(field) == size and field.lower() == name:
                return value.strip(b" \t")
        return None

    async def more(self) -> bytes:
        while True:
            unseen = self._held[self._seen :]
            if unseen:
                self._seen = len(self._held)
                return unseen[0] if len(unseen) == 1 else b"".join(unseen)
            if self._over():
                return b""
            self._relieve()
            await self._wait()

    def whole(self) -> bytes | None:
        if not self.ended:
            return None
        held, self._held = self._held, []
        return held[0] if len(held) == 1 else b"".join(held)

    async def relay(self, receiver: Receiver) -> None:
        held = self._held
        if held:
            self._held = []
            self._held_bytes = self._seen = 0
            receiver.data(held[0] if len(held) == 1 else b"".join(held))
        if self._over():
            return
        source = self._source
        assert source is not None  # noqa: S101 - it is not over
        source.receiver = receiver
        self._relieve()
        try:
            await self._wait()
        finally:
            if self._source is not None:  # else the connection may be another request's by now
                source.receiver = None
        self._over()

    def pause(self) -> None:
        self._paused = True
        if self._source is not None:
            self._source.pause()

    def resume(self) -> None:
        self._paused = False
        if self._source is not None:
            self._source.resume()

    def join(self, sender: Sender) -> Upstream:
        return _Nowhere() if self._source is None else self._source.join(sender)

    def close(self) -> None:
        source = self._source
        self._held = []
        if source is not None:
            self.fail(ClientGone("the reply was closed before its end"))
            source.abandon()

    def hold(self, piece: bytes) -> None:
        """Keep a piece that has no receiver yet."""
        self._held.append(piece)
        self._held_bytes += len(piece)
        if self._waiter is not None:
            self._wake()
        elif self._held_bytes > HOLD_LIMIT and self._source is not None:
            self._overfull = True
            self._source.pause()

    def finish(self) -> None:
        """The body is complete."""
        self.ended = True
        self._source = None
        self._wake()

    def fail(self, error: Exception) -> None:
        """No more will come."""
        self._failure = error
        self._source = None
        self._wake()

    def _over(self) -> bool:
        if self._failure is not None:
            raise self._failure
        return self.ended

    def _relieve(self) -> None:
        if self._overfull:
            self._overfull = False
            if not self._paused and self._source is not None:
                self._source.resume()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
