"""Who watches a reply while it is relayed. The one that is built in reads what it cost."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import orjson

from lb.balancing.routing import Operation, Route
from lb.events import Finished
from lb.exchange import Reply, Request
from lb.metering.estimate import BYTES_PER_TOKEN, Count, prompt_tokens
from lb.metering.frames import SessionReader
from lb.metering.replies import BodyReader
from lb.metering.tap import Kind, UsageTap, call_of, kind_of
from lb.metering.usage import UNKNOWN

HELD = 4 * 1024
"""Bytes of a request that a stream may hold to its end: then the prompt is counted only if the reply does not tell."""
EDGE = 4 * 1024
"""Bytes at both ends of a large body in which `include_usage` is looked for."""


class Watching(Protocol):
    """Watches one reply. It is fed behind each write, so it can delay, change and break nothing."""

    def data(self, chunk: bytes) -> None:
        """A piece of the body has been relayed. Never raises."""

    def end(self, told: Finished) -> None:
        """The request is over, whatever its end: add what was seen to what is told of it. Never raises."""


Watch = Callable[[Request, Route, Reply], Watching | None]
"""Asked when a reply is about to be relayed: the last moment at which the request still has its content. None: no."""


def together(
    watches: Sequence[Watch], request: Request, route: Route, reply: Reply, found: Watching | None = None
) -> Watching | None:
    """All who want to watch this reply, as one; `found` does already."""
    for watch in watches:
        watching = watch(request, route, reply)
        if watching is not None:
            found = watching if found is None else _Several(found, watching)
    return found


class _Several:
    """More than one."""

    __slots__ = ("_all",)

    def __init__(self, *watching: Watching) -> None:
        self._all = watching

    def data(self, chunk: bytes) -> None:
        for one in self._all:
            one.data(chunk)

    def end(self, told: Finished) -> None:
        for one in self._all:
            one.end(told)


class BodyCost(BodyReader):
    """Tells what a JSON reply cost."""

    __slots__ = ("_failure", "_target")

    def __init__(self, request: Request) -> None:
        super().__init__(orjson.loads)
        self._target = request.target
        self._failure: Exception | None = None

    def data(self, chunk: bytes) -> None:
        try:
            self.feed(chunk)
        except Exception as failure:
            self._failure = failure

    def end(self, told: Finished) -> None:
        told.call = call_of(self._target)
        try:
            told.usage = self.reported() or UNKNOWN
        except Exception as failure:
            self._failure, told.usage = failure, UNKNOWN
        told.unread = self._failure


class Cost(UsageTap):
    """Tells what any other reply cost: a stream, above all."""

    __slots__ = ("_target",)

    def __init__(self, request: Request, kind: bytes, coding: bytes, *, keep: bool) -> None:
        self._target = request.target
        prompt, hurry = _prompt(request, keep)
        super().__init__(kind, coding, prompt, keep=keep, hurry=hurry)

    def end(self, told: Finished) -> None:
        told.usage = self.usage()
        told.unread = self.failure
        told.call = call_of(self._target)
        if told.usage.estimated:
            told.recount = self.recount


class SessionCost:
    """Tells what a WebSocket's responses cost, each as soon as it is known."""

    __slots__ = ("_call", "_failure", "_reader", "_spend")

    def __init__(self, request: Request) -> None:
        self._reader = SessionReader()
        self._spend = request.spend
        self._call = call_of(request.target)
        self._failure: Exception | None = None

    def data(self, chunk: bytes) -> None:
        if self._failure is not None:
            return
        try:
            told = self._reader.feed(chunk)
        except Exception as failure:
            self._failure = failure
            return
        if self._spend is not None:
            for usage in told:
                self._spend(usage)

    def end(self, told: Finished) -> None:
        told.usage = self._reader.usage() if self._failure is None else UNKNOWN
        told.unread = self._failure
        told.call = self._call


def watch_cost(
    request: Request, route: Route, reply: Reply, *, keep: bool = False
) -> BodyCost | Cost | SessionCost | None:
    """Watches a reply that may tell what it cost: a good one to a request that makes an answer.

    `keep` keeps prompt and answer of a stream for a tokenizer.
    """
    if reply.status == 101:
        return SessionCost(request)
    if route.operation is not Operation.INFERENCE or not 200 <= reply.status < 300:
        return None
    kind = reply.get(b"content-type") or b""
    coding = reply.get(b"content-encoding") or b""
    if not coding and kind_of(kind) is Kind.BODY:
        return BodyCost(request)
    return Cost(request, kind, coding, keep=keep)


def _prompt(request: Request, keep: bool) -> tuple[Callable[[Count], int], bool]:
    """What counts the prompt, and whether that has to be soon, since it holds much of the request. A stream that most
    likely reports its usage is not worth a good count of a large prompt."""
    body = request.body
    if request.content_encoding or not request.content_type[:16].lower().startswith(b"application/json"):
        return partial(_by_length, 0), False
    if not isinstance(body, bytes):
        return partial(_by_length, body.length or len(body.prefix)), False
    large = len(body) > HELD
    if large and not keep and (b'"include_usage"' in body[-EDGE:] or b'"include_usage"' in body[:EDGE]):
        return partial(_by_length, len(body)), False
    return partial(prompt_tokens, body), large


def _by_length(length: int, count: Count) -> int:
    return length // BYTES_PER_TOKEN
