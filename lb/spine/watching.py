"""Who watches a reply while it is relayed. The one that is built in reads what it cost."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from lb.balancing.routing import Operation, Route
from lb.events import Finished
from lb.exchange import Reply, Request
from lb.metering.estimate import BYTES_PER_TOKEN, Count, prompt_tokens
from lb.metering.tap import UsageTap, call_named


class Watching(Protocol):
    """Watches one reply. It is fed behind each write, so it can delay, change and break nothing."""

    def data(self, chunk: bytes) -> None:
        """A piece of the body has been relayed. Never raises."""

    def end(self, told: Finished) -> None:
        """The request is over, whatever its end: add what was seen to what is told of it. Never raises."""


Watch = Callable[[Request, Route, Reply], Watching | None]
"""Asked when a reply is about to be relayed: the last moment at which the request still has its content. None: no."""


def together(watches: Iterable[Watch], request: Request, route: Route, reply: Reply) -> Watching | None:
    """All who want to watch this reply, as one."""
    found = [watching for watch in watches if (watching := watch(request, route, reply)) is not None]
    return _Several(found) if len(found) > 1 else found[0] if found else None


class _Several:
    """More than one."""

    __slots__ = ("_all",)

    def __init__(self, watching: Sequence[Watching]) -> None:
        self._all = watching

    def data(self, chunk: bytes) -> None:
        for one in self._all:
            one.data(chunk)

    def end(self, told: Finished) -> None:
        for one in self._all:
            one.end(told)


class Cost(UsageTap):
    """Tells what a reply cost."""

    __slots__ = ("_call",)

    def __init__(self, request: Request, reply: Reply, *, keep: bool) -> None:
        kind = reply.get(b"content-type") or b""
        coding = reply.get(b"content-encoding") or b""
        super().__init__(kind, coding, _prompt(request, keep), keep=keep)
        self._call = call_named(request.target.partition(b"?")[0])

    def end(self, told: Finished) -> None:
        told.usage = self.usage()
        told.call = self._call
        if told.usage.estimated:
            told.recount = self.recount


def watch_cost(request: Request, route: Route, reply: Reply, *, keep: bool = False) -> Cost | None:
    """Watches a reply that may tell what it cost: a good one to a request that makes an answer.

    `keep` keeps prompt and answer of a stream for a tokenizer.
    """
    if route.operation is not Operation.INFERENCE or not 200 <= reply.status < 300:
        return None
    return Cost(request, reply, keep=keep)


def _prompt(request: Request, keep: bool) -> Callable[[Count], int]:
    """Counts the prompt. A stream that most likely reports its usage is not worth a good count."""
    body = request.body
    if request.content_encoding or not request.content_type[:16].lower().startswith(b"application/json"):
        return partial(_by_length, 0)
    if not isinstance(body, bytes):
        return partial(_by_length, body.length or len(body.prefix))
    if b'"include_usage"' in body and not keep:
        return partial(_by_length, len(body))
    return partial(prompt_tokens, body)


def _by_length(length: int, count: Count) -> int:
    return length // BYTES_PER_TOKEN
