"""Lists of objects name those of one resource. Here they name those of all, or say why they cannot."""

import asyncio
import json
from dataclasses import replace
from typing import Any, NamedTuple

from lb.balancing.affinity import Affinity, only
from lb.balancing.backend import Backend
from lb.balancing.creations import Creation
from lb.balancing.listing import Endless, Item, Merge, NoCursor, NotAList, Wanted, page_target, wanted
from lb.balancing.routing import Route
from lb.balancing.scenes import scene
from lb.events import Finished, Outcome
from lb.exchange import BackendFailed, Headers, Reply, Request
from lb.failover import Failover
from lb.refusal import Refusal
from lb.spine.binding import tenant_of

PAGE_MAX = 8 * 2**20
"""Bytes of one backend's page."""
_JSON = (b"content-type", b"application/json")


class Listed(NamedTuple):
    """The answer, and what it took."""

    status: int
    headers: Headers
    body: bytes
    attempts: int


class _Stop(Exception):
    """A backend's page cannot be had, so there is no list."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Lists:
    """Merges them. `unowned`: also what is not known whose it is is shown to callers with a name."""

    def __init__(self, failover: Failover, affinity: Affinity, *, unowned: bool = False) -> None:
        self._failover = failover
        self._affinity = affinity
        self._unowned = unowned

    def wants(self, request: Request) -> bool:
        """Is it a list of which one backend has only a part, or a part that is not for everybody?"""
        if request.method != "GET":
            return False
        found = scene(request.target)
        if found is None or not found.listing:
            return False
        return tenant_of(request) is not None or len(self._backends(request)) > 1

    async def answer(self, request: Request, route: Route) -> Listed:
        """Ask all backends that the caller may be sent to, and merge what they tell."""
        return await _Listing(self._failover, self._affinity, request, route, self._unowned).answer(
            self._backends(request)
        )

    def _backends(self, request: Request) -> list[Backend]:
        """One of each address: an endpoint that is there twice has one list."""
        found: dict[str, Backend] = {}
        for backend in self._failover.pool.backends:
            if backend.name not in request.asker.excluded:
                found.setdefault(backend.url, backend)
        return list(found.values())


class _Listing:
    """One list."""

    def __init__(self, failover: Failover, affinity: Affinity, request: Request, route: Route, unowned: bool) -> None:
        self._failover = failover
        self._affinity = affinity
        self._request = request
        self._route = route
        self._unowned = unowned
        self._tenant = tenant_of(request)
        self._attempts = 0
        self._left_out = 0
        """Objects that are not shown because it is not known whose they are."""

    async def answer(self, backends: list[Backend]) -> Listed:
        found = scene(self._request.target)
        asked = wanted(self._request.target, found.collection if found is not None else "")
        names = {backend.name: backend for backend in backends}
        merge = Merge(list(names), asked, self._shows)
        try:
            self._check(asked)
            while questions := merge.questions():
                pages = [self._page(names[question.backend], asked, question.after) for question in questions]
                for question, page in zip(questions, await _all(pages), strict=True):
                    merge.feed(question.backend, page)
        except _Stop as stop:
            return Listed(stop.status, stop.headers, stop.body, self._attempts)
        except ValueError as problem:
            refusal = _refusal(problem)
            return Listed(refusal.status, (_JSON,), refusal.body, self._attempts)
        page = merge.page()
        for backend, item in zip(merge.backends, page["data"], strict=True):
            if isinstance(item.get("id"), str):
                self._affinity.learn([Creation(item["id"].encode(), False)], backend, None)
        told = ((b"x-lb-left-out", b"%d" % self._left_out),) if self._left_out else ()
        body = json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return Listed(200, (_JSON, *told), body, self._attempts)

    def _check(self, asked: Wanted) -> None:
        """Another tenant's object does not exist, also as a cursor. Raises `NoCursor`."""
        for cursor in (asked.after, asked.before):
            name = cursor.encode("utf-8", "replace")
            if self._affinity.is_owned(name) and not self._affinity.shows(name, self._tenant, unowned=True):
                raise NoCursor(cursor)

    def _shows(self, item: Item) -> bool:
        name = str(item.get("id") or "").encode("utf-8", "replace")
        shown = self._affinity.shows(name, self._tenant, unowned=self._unowned)
        if not shown and not self._affinity.is_owned(name):
            self._left_out += 1
        return shown

    async def _page(self, backend: Backend, asked: Wanted, after: str) -> Any:
        """One page of one backend. Raises `_Stop`."""
        target = page_target(self._request.target, asked, after, filtered=self._tenant is not None)
        part = self._part(target, backend)
        answering = self._failover.answer(part, self._route)
        outcome, started = Outcome.ABANDONED, self._failover.clock()
        try:
            async with answering as answer:
                if isinstance(answer, Refusal):
                    outcome = Outcome.EXHAUSTED
                    raise _Stop(answer.status, (_JSON, *answer.headers), _of_backend(answer, backend.name).body)
                body = await _whole(answer, backend.name)
                outcome = Outcome.RELAYED
                return _parsed(answer, body, backend.name)
        except BackendFailed as failure:
            outcome = Outcome.CUT
            raise _stopped(502, f"The list of `{backend.name}` broke off: {failure.detail}.") from None
        finally:
            self._attempts += answering.attempts
            if part.trace is not None:
                seconds = self._failover.clock() - started
                told = Finished(part.id, part.method, None, outcome, None, answering.attempts, seconds, backend.name)
                part.trace.finished(told)

    def _part(self, target: bytes, backend: Backend) -> Request:
        """The request for one page: without the body, which means nothing, and of a stream could be read only once."""
        whole = self._request
        part = Request(
            whole.id,
            whole.method,
            target,
            whole.headers,
            content_type=whole.content_type,
            caller=whole.caller,
            peer=whole.peer,
            forwarded_for=whole.forwarded_for,
            fields=whole.fields,
        )
        part.drop(*_NOT_FOR_PARTS)
        part.asker = only(whole.asker, frozenset((backend.name,)), self._failover.pool.backends)
        part.interim = whole.interim
        if whole.trace is not None:
            part.trace = whole.trace.part()
        return part


_NOT_FOR_PARTS = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
"""A packed reply could not be merged, and a condition on the whole list means nothing for its parts."""


async def _all(pages: list[Any]) -> list[Any]:
    """All at once; the first that stops ends the others. Of several that failed at once a `_Stop` is the answer."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(page) for page in pages]
    except ExceptionGroup as failed:
        stops = [problem for problem in failed.exceptions if isinstance(problem, _Stop)]
        raise (stops or failed.exceptions)[0] from None
    return [task.result() for task in running]


async def _whole(reply: Reply, backend: str) -> bytes:
    """The body. Raises `BackendFailed`, and `_Stop` where there is too much of it."""
    body = b""
    while chunk := await reply.more():
        body += chunk
        if len(body) > PAGE_MAX:
            raise _stopped(502, f"The list of `{backend}` is too long to be merged: ask for fewer with `limit`.")
    return body


def _parsed(reply: Reply, body: bytes, backend: str) -> Any:
    """A page. Where the API is not served there is nothing to list; any other error is the answer."""
    if reply.status == 404:
        return {"data": []}
    if reply.status != 200:
        kind = reply.get(b"content-type") or b"application/json"
        raise _Stop(reply.status, ((b"content-type", kind),), body)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NotAList(backend) from None


def _of_backend(refusal: Refusal, backend: str) -> Refusal:
    message = f"A list needs all backends, and `{backend}` cannot be asked. {refusal.message}"
    return replace(refusal, message=message)


def _stopped(status: int, message: str) -> _Stop:
    return _Stop(status, (_JSON,), Refusal(status, "BadGateway", message).body)


def _refusal(problem: ValueError) -> Refusal:
    if isinstance(problem, NoCursor):
        return Refusal(404, "not_found", f"No such object: {problem}", param="after")
    if isinstance(problem, Endless):
        return Refusal(400, "BadRequest", "The list is too long to be read as far as this page: narrow it.")
    return Refusal(502, "BadGateway", f"What `{problem}` answered is no list.")
