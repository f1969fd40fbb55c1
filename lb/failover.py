"""Try backends until one answer is worth relaying; the slot is held to the last byte.

Read `Answering._find` first: it is the whole loop. Leaving the `async with` - normally, by a cut, by cancellation or by
our own bug - closes what is open and returns every permit.
"""

from collections.abc import Callable
from types import TracebackType

from lb.balancing.affinity import bound_for
from lb.balancing.attempt import Attempt
from lb.balancing.backend import Backend
from lb.balancing.budget import FaultBudget
from lb.balancing.pool import Pool
from lb.balancing.routing import Operation, Route, rewrite_target
from lb.balancing.verdict import Faulted, Judge, Missed, Relay, Throttled, Unsent, Verdict
from lb.events import Attempted, Emit, Exhausted, Judged
from lb.exchange import BackendFailed, Blame, Reply, Request, Transport
from lb.refusal import Refusal
from lb.spine.asking import Patience, ask, told_headroom
from lb.spine.conclusion import Tried, all_throttled, cannot_send_again, nobody_left
from lb.spine.kept import Kept
from lb.spine.permits import Permits, Wish

SOON = 1.0
"""Seconds to tell a client to wait that might try again at once."""


class Failover:
    """What all requests share: the health table, the way to the backends, the budget for retried faults."""

    def __init__(
        self,
        pool: Pool,
        transport: Transport,
        judge: Judge,
        clock: Callable[[], float],
        emit: Emit,
        *,
        first_event_seconds: float = 0.0,
    ) -> None:
        self.pool = pool
        self.transport = transport
        self.judge = judge
        self.clock = clock
        self.emit = emit
        self.first_event_seconds = first_event_seconds
        self.budget = FaultBudget()
        self.permits = Permits(pool, clock)

    def answer(self, request: Request, route: Route) -> "Answering":
        """`async with failover.answer(request, route) as answer`: a `Reply` to relay, or a `Refusal` to send."""
        return Answering(self, request, route)


class Answering:
    """One request's way through the backends."""

    __slots__ = (
        "_failed",
        "_failover",
        "_held",
        "_last",
        "_missed",
        "_paid",
        "_request",
        "_route",
        "_wish",
        "answered_by",
        "attempts",
        "reply",
        "tried",
        "waited",
    )

    def __init__(self, failover: Failover, request: Request, route: Route) -> None:
        self._failover = failover
        self._request = request
        self._route = route
        self._held: list[Attempt] = []
        self._failed: list[Attempt] = []
        self._last = Kept()
        """The last fault's reply: the answer where there is no better one."""
        self._missed = Kept()
        """The first miss, which is that of who was the likeliest to have what is named."""
        self._paid = False
        self.reply: Reply | None = None
        self.answered_by: Backend | None = None
        self.attempts = 0
        self.tried: list[Tried] = []
        asker = request.asker
        if request.binding is not None:
            asker = bound_for(asker, request.binding, route.deployment, failover.pool.backends)
        self._wish = Wish(request.id, asker, route.deployment, self.tried, set(asker.excluded), key=request.key)
        self.waited = 0.0
        """Seconds that the last attempt took."""

    @property
    def throttled(self) -> int:
        """Backends that refused for a limit."""
        return sum(isinstance(tried.verdict, Throttled) for tried in self.tried) if self.tried else 0

    @property
    def misses(self) -> list[str]:
        """Backends that do not have what the request names."""
        return [tried.backend for tried in self.tried if isinstance(tried.verdict, Missed)]

    async def __aenter__(self) -> Reply | Refusal:
        try:
            return await self._find()
        except BaseException:
            self._close()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def _find(self) -> Reply | Refusal:
        """The loop. Returning a reply is the commit point: from its first byte on nothing fails over."""
        self._failover.budget.request(self._failover.clock())
        names, permits = self._wish.names, self._failover.permits
        while attempt := permits.at_once(self._wish) or await permits.next(self._wish):
            self._held.append(attempt)
            names.add(attempt.backend.name)
            verdict = await self._try(attempt, names)
            if isinstance(verdict, Relay):
                self._last.forget()
                self._missed.forget()
                assert self.reply is not None  # noqa: S101 - only a reply can be judged worth relaying
                return self.reply
            self._put_aside(attempt, verdict)
            if not self._may_go_on(verdict, names):
                return self._settle(verdict)
            if isinstance(verdict, Missed):
                self._look_elsewhere(names)
        return self._conclude()

    async def _try(self, attempt: Attempt, names: set[str]) -> Verdict:
        """Ask one backend, and judge and learn what comes of it."""
        failover, request = self._failover, self._request
        self.attempts += 1
        backend = attempt.backend
        target = rewrite_target(self._route, request.target, backend)
        attempted = Attempted(request.id, backend, attempt.deployment, target, self.attempts)
        failover.emit(attempted)
        if request.trace is not None:
            request.trace.attempted(attempted)
        verdict = await self._ask(attempt, target, names)
        now = failover.clock()
        self.waited = now - attempt.started
        status = self.reply.status if self.reply is not None else None
        detail, asked = "", None
        if not isinstance(verdict, Relay):
            detail, asked = verdict.reason, getattr(verdict, "seconds", None)
        judged = Judged(
            request.id, backend, attempt.deployment, self.attempts, status, verdict.said, self.waited, detail, asked
        )
        failover.emit(judged)
        if request.trace is not None:
            request.trace.judged(judged)
        awaited = _is_awaited(attempt)
        failover.pool.learn(now, attempt, verdict, self._failed)
        if awaited:
            failover.permits.wake()
        return verdict

    async def _ask(self, attempt: Attempt, target: bytes, names: set[str]) -> Verdict:
        failover, limit = self._failover, self._failover.first_event_seconds
        asking = ask(failover.transport, failover.judge, attempt, self._request, self._route, target)
        try:
            if limit:
                async with Patience(limit, lambda: self._may_leave(names)):
                    self.reply, verdict = await asking
            else:
                self.reply, verdict = await asking
        except TimeoutError:
            return Faulted(f"no answer within {limit:g} s", silent=True)
        except BackendFailed as failure:
            if failure.blame is Blame.OURS:
                return Unsent(failure.detail)
            whole = failure.blame in (Blame.CONNECT, Blame.TLS, Blame.TOKEN)
            return Faulted(failure.detail, whole=whole, silent=failure.blame is Blame.SILENT)
        self.answered_by = attempt.backend
        if isinstance(verdict, Relay):
            told_headroom(attempt, self.reply, failover.clock())
        return verdict

    def _put_aside(self, attempt: Attempt, verdict: Verdict) -> None:
        """Not worth relaying: keep the last fault's reply and the first miss, which may turn out to be the best that
        there is, and drop any other."""
        self.tried.append(Tried(attempt.backend.name, verdict))
        self._failover.pool.release(attempt)
        kept = self._last if isinstance(verdict, Faulted) else self._missed
        if self.reply is not None and (kept is self._last or (isinstance(verdict, Missed) and not kept)):
            kept.put(self.reply, attempt.backend)
            self.reply = self.answered_by = None
        self._drop()
        if isinstance(verdict, Faulted) and not verdict.whole:
            self._failed.append(attempt)

    def _may_go_on(self, verdict: Verdict, names: set[str]) -> bool:
        """The retry table of the contract: for which requests does this verdict allow another backend?"""
        if not self._request.replayable:
            return False
        if not isinstance(verdict, Faulted) or verdict.whole:
            return True
        operation = self._route.operation
        if not (operation is Operation.INFERENCE if verdict.in_stream else operation.repeatable):
            return False
        if self._paid:
            self._paid = False
            return True
        now = self._failover.clock()
        reachable = self._failover.pool.reachable(now, self._route.deployment, names)
        return not reachable or self._failover.budget.retry(now)

    def _look_elsewhere(self, names: set[str]) -> None:
        """Who was thought to have what the request names has it not: everybody may be asked who may at all."""
        if self._wish.asker is not self._request.asker:
            self._wish.asker = self._request.asker
            names.clear()
            names.update(self._request.asker.excluded, [tried.backend for tried in self.tried])

    def _may_leave(self, names: set[str]) -> bool:
        """A backend takes long: is there another one that may be asked instead? Then that retry is paid for."""
        failover, now = self._failover, self._failover.clock()
        self._paid = (
            self._request.replayable
            and self._route.operation.repeatable
            and failover.pool.others(now, self._route.deployment, names)
            and failover.budget.retry(now)
        )
        return self._paid

    def _settle(self, verdict: Verdict) -> Reply | Refusal:
        """The request may not go to another backend: what this one said is the answer."""
        if isinstance(verdict, Throttled):
            return self._cannot_send_again()
        kept = self._missed if isinstance(verdict, Missed) else self._last
        return self._relay(kept) if kept and isinstance(verdict, Missed | Faulted) else self._nobody_left()

    def _cannot_send_again(self) -> Refusal:
        """Throttled with a body that is gone: the client may send it again as soon as anybody would take it."""
        failover, deployment, now = self._failover, self._route.deployment, self._failover.clock()
        excluded = self._wish.asker.excluded
        waits = failover.pool.soonest(now, deployment, excluded)
        if waits is None or failover.pool.others(now, deployment, set(excluded)):
            return cannot_send_again(SOON)
        failover.emit(Exhausted(self._request.id, deployment, waits))
        return all_throttled(waits)

    def _conclude(self) -> Reply | Refusal:
        """Nobody is left to try. Throttling comes first, since the client can do something about it: wait."""
        failover, deployment = self._failover, self._route.deployment
        excluded = self._wish.asker.excluded.union(self.misses)
        seconds = failover.pool.soonest(failover.clock(), deployment, excluded)
        if seconds is None and any(isinstance(tried.verdict, Throttled) for tried in self.tried):
            seconds = SOON  # it was so short that it is over
        if seconds is None and self._wish.queued and not self.tried:
            seconds = SOON  # it waited, and others had their turn
        if seconds is not None:
            failover.emit(Exhausted(self._request.id, deployment, seconds))
            return all_throttled(seconds)
        if self._missed and not self._may_be_elsewhere():
            return self._relay(self._missed)
        return self._relay(self._last) if self._last else self._nobody_left()

    def _may_be_elsewhere(self) -> bool:
        """Does a backend that could not be asked, or failed, perhaps have what the others have not?"""
        return bool(self._taken_out()) or len(self.misses) < len(self.tried)

    def _nobody_left(self) -> Refusal:
        return nobody_left(self.tried, self._taken_out())

    def _taken_out(self) -> list[str]:
        """Backends that this request could be sent to, had no operator taken them out."""
        excluded = self._wish.asker.excluded
        return [name for name in self._failover.pool.taken_out(self._route.deployment) if name not in excluded]

    def _relay(self, kept: Kept) -> Reply:
        self.reply, self.answered_by = kept.take()
        return self.reply

    def _drop(self) -> None:
        if self.reply is not None:
            self.reply.close()
            self.reply = self.answered_by = None

    def _close(self) -> None:
        self._drop()
        self._last.forget()
        self._missed.forget()
        for attempt in self._held:
            awaited = _is_awaited(attempt)
            self._failover.pool.release(attempt)
            if awaited:
                self._failover.permits.wake()


def _is_awaited(attempt: Attempt) -> bool:
    """May others wait for what it tells?"""
    return attempt.trial or attempt.probes_cell or attempt.probes_site
