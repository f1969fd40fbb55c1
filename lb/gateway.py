"""The story of one request: identify -> route -> fail over -> relay -> tell how it ended, exactly once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from lb.balancing.routing import DEPLOYMENT_FIELD, Route, Unroutable, needs_name, route, route_handshake
from lb.events import Emit, Finished, Outcome, Trace
from lb.exchange import BackendFailed, Client, ClientGone, Reply, Request
from lb.failover import Answering, Failover
from lb.metering.quota import Ticket
from lb.metering.tenant import Tenant
from lb.metering.usage import Usage
from lb.refusal import Head, Refusal
from lb.spine.admission import Admission
from lb.spine.binding import Bindings
from lb.spine.conclusion import not_served
from lb.spine.lists import Lists
from lb.spine.scanned import looked_through, read_along
from lb.spine.unasked import AskForUsage, hide_usage
from lb.spine.watching import Watch, Watching, together

NOTHING = Usage()
Identity = str | None | Refusal
Identify = Callable[[Head], Identity | Awaitable[Identity]]
"""Who is calling: a name, None where nobody is asked, a refusal, or either of them later, when keys must be fetched."""


class Gateway:
    """Answers requests. `explain` adds the `x-lb-*` fields to replies."""

    def __init__(
        self, identify: Identify, failover: Failover, clock: Callable[[], float], emit: Emit, *, explain: bool = True
    ) -> None:
        self.identify = identify
        self.failover = failover
        self.explain = explain
        self.admission: Admission | None = None
        """Asked where there are tenants."""
        self.bindings: Bindings | None = None
        """Asked where objects are to be found again."""
        self.ask_for_usage: AskForUsage | None = None
        """Has backends tell the usage of chat streams, where that is wanted."""
        self.lists: Lists | None = None
        """Asked where lists of objects are those of all backends."""
        self.watches: Sequence[Watch] = ()
        """Each may look at a reply that is relayed."""
        self.recorded_watches: Sequence[Watch] = ()
        """Each may look as well where the request is recorded."""
        self.trace: Callable[[Request], Trace | None] | None = None
        """Says which requests are recorded, where any are."""
        self._clock = clock
        self._emit = emit

    async def handle(self, request: Request, client: Client) -> None:
        """Answer one request, whatever comes. The outcome is *crashed* until a better one is earned."""
        started = self._clock()
        told = Finished(request.id, request.method, None, Outcome.CRASHED, None, 0, 0.0, tenant=request.caller)
        if self.trace is not None:
            request.trace = self.trace(request)
        try:
            await self._answer(request, client, told, started)
        except BackendFailed as failure:
            told.outcome, told.detail = Outcome.CUT, failure.detail
        except Unroutable as problem:  # seen only while its body was on the way; a reply that has begun is cut
            told.outcome, told.detail = Outcome.REFUSED, str(problem)
            if told.status is None:
                self._refuse(request, client, told, _bad(problem))
        except (ClientGone, asyncio.CancelledError):
            told.outcome = Outcome.ABANDONED if client.ended is None else Outcome(client.ended.value)
            raise
        except Exception as bug:
            told.detail = type(bug).__name__  # its message may quote the body
            raise
        finally:
            told.seconds = self._clock() - started
            self._conclude(request, told)

    async def _answer(self, request: Request, client: Client, told: Finished, started: float) -> None:
        found = self._route(request) if self.admission is None else self._admit(request, told, self.admission)
        if self.lists is not None and not isinstance(found, Refusal) and self.lists.wants(request):
            await self._list(request, client, told, found, self.lists)
            return
        if self.bindings is not None and not isinstance(found, Refusal):
            found = self.bindings.bind(request, found) or found
        if isinstance(found, Refusal):
            self._refuse(request, client, told, found)
            told.outcome = Outcome.REFUSED
            return
        told.deployment = found.deployment
        request.once = not found.operation.repeatable
        answering = self.failover.answer(request, found)
        try:
            async with answering as answer:
                self._tell(told, answering)
                if isinstance(answer, Refusal):
                    self._refuse(request, client, told, answer)
                    told.outcome = Outcome.EXHAUSTED
                    return
                told.status, request.sent_to = answer.status, told.backend
                if request.binding is not None and self.bindings is not None:
                    self.bindings.settle(request, answering, answer)
                watching = client.tap = self._watch(request, found, answer)
                request.forget_content()
                told.first_byte = self._clock() - started
                try:
                    if request.unasked_usage:
                        answer = hide_usage(answer, client)
                    await client.relay(answer, self._explanation(request, told))
                finally:
                    if watching is not None:
                        watching.end(told)
                told.outcome = Outcome.RELAYED
        finally:
            told.attempts, told.waited, told.throttled = answering.attempts, answering.waited, answering.throttled

    async def _list(self, request: Request, client: Client, told: Finished, found: Route, lists: Lists) -> None:
        """The one kind of reply that is made here from what backends said."""
        listed = await lists.answer(request, found)
        request.forget_content()
        told.attempts, told.status = listed.attempts, listed.status
        told.outcome = Outcome.RELAYED if listed.status < 500 and listed.status != 429 else Outcome.EXHAUSTED
        client.answer(listed.status, listed.headers, listed.body, self._explanation(request, told))

    def _admit(self, request: Request, told: Finished, admission: Admission) -> Route | Refusal:
        """Whose is it, where to, and is it within their budget?"""
        tenant = admission.identify(request)
        if isinstance(tenant, Refusal):
            return tenant
        if tenant is not None:
            told.tenant = tenant.name
        found = self._route(request, tenant)
        if isinstance(found, Refusal) or tenant is None:
            return found
        told.deployment = found.deployment
        return admission.admit(request, found, tenant) or found

    def _conclude(self, request: Request, told: Finished) -> None:
        """Tell of the end: the recording last, so that one that fails takes nothing from the others."""
        if request.ticket is not None:
            self._settle(request.ticket, told)
        self._emit(told)
        if request.trace is not None:
            request.trace.finished(told)

    def _settle(self, ticket: Ticket, told: Finished) -> None:
        """A backend's refusal costs no tokens. What nobody has counted stays as it was reserved."""
        now, quota = self._clock(), ticket.quota
        if told.attempts == 0 or told.outcome is Outcome.EXHAUSTED:
            quota.cancel(now, ticket)
        elif told.status is not None and told.status >= 400:
            quota.settle(now, ticket, NOTHING)
        else:
            quota.settle(now, ticket, told.usage)

    def _route(self, request: Request, tenant: Tenant | None = None) -> Route | Refusal:
        if self.ask_for_usage is not None:
            self.ask_for_usage(request, tenant)
        body = request.body
        try:
            if request.handshake is not None:
                found = route_handshake(request.target)
            else:
                found = route(
                    request.method,
                    request.target,
                    request.content_type,
                    request.content_encoding,
                    body if isinstance(body, bytes) else body.prefix,
                    whole=isinstance(body, bytes) or looked_through(body),
                    seen=None if isinstance(body, bytes) else body.seen,
                )
        except Unroutable as problem:
            return _bad(problem)
        if found.by_header and found.deployment is not None:
            request.drop(DEPLOYMENT_FIELD)
        pool = self.failover.pool
        if found.unnamed and any(map(needs_name, pool.backends)):
            return Refusal(
                400, "BadRequest", f"The request names no deployment and must, to find its backend: {found.unnamed}."
            )
        if not pool.serving(found.deployment):
            return not_served(found.deployment, pool.served())
        if not isinstance(body, bytes):
            restricted = tenant is not None and tenant.deployments is not None
            request.body = read_along(body, found.place, request.content_type, pool.backends, restricted=restricted)
        return found

    def _tell(self, told: Finished, answering: Answering) -> None:
        told.attempts, told.waited = answering.attempts, answering.waited
        if answering.answered_by is not None:
            told.backend = answering.answered_by.name

    def _watch(self, request: Request, found: Route, answer: Reply) -> Watching | None:
        watching = together(self.watches, request, found, answer) if self.watches else None
        if request.trace is None:
            return watching
        return together(self.recorded_watches, request, found, answer, watching)

    def _explanation(self, request: Request, told: Finished) -> bytes:
        """Which backend answered, after how many attempts: header fields as they stand on the wire."""
        if not self.explain:
            return b""
        request_id = request.id.encode("ascii", "replace")
        if told.backend is None:
            return b"x-lb-attempts: %d\r\nx-lb-request-id: %b\r\n" % (told.attempts, request_id)
        fields = told.backend.encode(), told.attempts, request_id
        return b"x-lb-backend: %b\r\nx-lb-attempts: %d\r\nx-lb-request-id: %b\r\n" % fields

    def _refuse(self, request: Request, client: Client, told: Finished, refusal: Refusal) -> None:
        told.status, told.detail = refusal.status, refusal.message
        headers = ((b"content-type", b"application/json"), *refusal.headers)
        client.answer(refusal.status, headers, refusal.body, self._explanation(request, told))


def _bad(problem: Unroutable) -> Refusal:
    return Refusal(400, "BadRequest", f"{str(problem).capitalize()}.")
