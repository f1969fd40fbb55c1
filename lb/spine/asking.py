"""One attempt: send to one backend, and judge what comes back before a byte of it is relayed."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from lb.balancing.attempt import Attempt
from lb.balancing.routing import Route, renamed, rewrite_body
from lb.balancing.verdict import RELAY_ERROR, Judge, Missed, Verdict, headroom
from lb.exchange import BodyStream, Reply, Request, Transport
from lb.spine.opening import is_event_stream, judge_opening, read_error
from lb.spine.splice import Splice


async def ask(
    transport: Transport, judge: Judge, attempt: Attempt, request: Request, route: Route, target: bytes
) -> tuple[Reply, Verdict]:
    """The reply, open, and what it means. Raises `BackendFailed`; then, and when cancelled, nothing stays open."""
    reply = await transport.send(attempt.backend, request, target, _body(request.body, route, attempt))
    try:
        verdict = judge.head(reply.status, reply.get)
        # Sometimes the head alone does not tell.
        bound = request.binding is not None
        if reply.status == 200 and is_event_stream(reply):
            verdict = await judge_opening(reply, judge)
            if isinstance(verdict, Missed) and not bound:
                verdict = RELAY_ERROR
        elif reply.status >= 400 and judge.unclear(reply.status, bound=bound):
            verdict = judge.body(reply.status, await read_error(reply), bound=bound)
    except BaseException:
        reply.close()
        raise
    return reply, verdict


def told_headroom(attempt: Attempt, reply: Reply, now: float) -> None:
    """Note what a reply says of the limit that is left."""
    health = attempt.health
    if now >= health.headroom_due:
        health.told(headroom(reply.get), now)


def _body(body: bytes | BodyStream, route: Route, attempt: Attempt) -> bytes | BodyStream:
    if isinstance(body, bytes):
        return rewrite_body(route, body, attempt.backend)
    text = renamed(route, attempt.backend)
    return body if text is None else Splice(body, route.start, route.end, text)


class Patience:
    """`async with Patience(5, may_leave)`: raises TimeoutError after 5 s, once `may_leave` says so.

    It is asked every 5 s: a slow backend is left only for another one, and whether there is one changes.
    """

    __slots__ = ("_handle", "_may_leave", "_seconds", "_timeout")

    def __init__(self, seconds: float, may_leave: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._may_leave = may_leave
        self._timeout = asyncio.timeout(None)
        self._handle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._arm()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _arm(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def _look(self) -> None:
        if self._may_leave():
            self._timeout.reschedule(asyncio.get_running_loop().time())
        else:
            self._arm()
