"""One client connection: finds the requests in what arrives, and gets each one checked, taken in and served, in order.

WAITING --head--> ASKING --known--> READING --body--> SERVING --reply--> WAITING
   |                |                  |                 |
   +----------------+---- refused -----+-----------------+--> LINGERING --> CLOSED
"""

import asyncio

from lb.exchange import BodyStream
from lb.refusal import Refusal
from lb.wire.head import Head
from lb.wire.head_reader import next_head
from lb.wire.hub import Hub, Verdict
from lb.wire.intake import Intake, Overdrawn
from lb.wire.line import JSON, NEVER, Line, Phase
from lb.wire.malformed import Malformed
from lb.wire.pages import Page, own_page
from lb.wire.relay import WaitingClient
from lb.wire.request import build_request
from lb.wire.turns import Turns

PIPELINED_MAX = 64 * 1024
"""Bytes of further requests that wait while one is served; then reading stops."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_SLOW_HEAD = Refusal(408, "RequestTimeout", "The request head did not arrive in time.")
_SLOW_BODY = Refusal(408, "RequestTimeout", "The request body stopped arriving.")
_NO_MEMORY = Refusal(503, "ServerBusy", "Too many large requests are under way.", ((b"Retry-After", b"1"),))
_SHUT_DOWN = Refusal(503, "ServerBusy", "The load balancer is shutting down.")
_BUG = Refusal(500, "InternalServerError", "The load balancer failed on this request.")


class Front(Line):
    """See the head of this file."""

    __slots__ = ("_asking", "_caller", "_client", "_head", "_intake", "_kept", "_rest", "_turns")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._rest = b""
        """Received and not looked at yet: the beginning of a head, or pipelined requests."""
        self._kept = 0
        """Bytes of the budget that a body which came in one piece holds."""
        self._head: Head | None = None
        self._caller: str | None = None
        self._asking: asyncio.Future[Verdict] | None = None
        self._intake: Intake | None = None
        self._client: WaitingClient | None = None
        self._turns: Turns | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.hub.fronts.add(self)
        self.hub.deserted.clear()

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase >= Phase.LINGERING:
            return
        if self._intake is not None and not self._intake.complete:
            self._take(data)
            return
        if self._rest:
            self._rest += data
        else:
            self._rest = data
            if phase is Phase.WAITING:
                self.deadline = min(self.deadline, self.hub.now + self.hub.limits.head_seconds)
        if phase is Phase.WAITING and not self.stalled:
            self._advance()
        elif len(self._rest) > PIPELINED_MAX:
            self.pause_reading()

    def eof_received(self) -> bool:
        """A client that closes its side has left: what is under way is given up, what is written still goes out."""
        if self._client is not None and not self._client.over:
            self.transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = Phase.CLOSED
        self.hub.fronts.discard(self)
        if not self.hub.fronts:
            self.hub.deserted.set()
        if self._asking is not None:
            self._asking.cancel()
        client = self._client
        if client is None or not client.over:
            self._give_up()

    def pause_writing(self) -> None:
        self.stalled = True
        self.deadline = self.hub.now + self.hub.limits.stall_seconds
        if self._client is not None:
            self._client.pause()

    def resume_writing(self) -> None:
        self.stalled = False
        if self._client is not None:
            self._client.resume()
        if self.phase is Phase.WAITING:
            self._wait()
        elif self.phase < Phase.LINGERING:
            self._expect_body()

    # What the listener calls.

    def overdue(self) -> None:
        """The deadline has passed."""
        if self.phase >= Phase.LINGERING or self.stalled:
            self.transport.abort()
        elif self.phase is not Phase.WAITING:
            self._refuse(_SLOW_BODY)
        elif self._rest:
            self._refuse(_SLOW_HEAD)
        else:
            self.finish(linger=False)

    def last_call(self) -> None:
        """The listener drains: the request under way is the last one here."""
        if self._client is not None and not self._client.begun:
            self._client.keep = False

    def close_idle(self) -> None:
        """Close unless a request is under way."""
        if self.phase is Phase.WAITING and not self._rest:
            self.finish(linger=False)

    def cut(self) -> None:
        """Time is up, also for what is under way."""
        if self.phase < Phase.LINGERING and (self.phase is not Phase.WAITING or self._rest):
            self._refuse(_SHUT_DOWN)
        self.transport.close()

    # Heads.

    def _wait(self) -> None:
        """For the next request, which may be here already."""
        limits = self.hub.limits
        self.phase = Phase.WAITING
        self.deadline = self.hub.now + (limits.head_seconds if self._rest else limits.idle_seconds)
        self.resume_reading()
        self._advance()

    def _advance(self) -> None:
        while self.phase is Phase.WAITING and self._rest and not self.stalled:
            try:
                head, self._rest = next_head(self._rest, self.peer)
            except Malformed as problem:
                self._refuse(problem.refusal)
                return
            if head is None:
                return
            page = own_page(head.method, head.target, self.hub.draining)
            if page is not None:
                self._show(head, page)
            else:
                self._identify(head)

    def _show(self, head: Head, page: Page) -> None:
        status, content_type, body = page
        client = WaitingClient(self.transport, head.method, head.modern, self._keeps(head) and not head.bodied)
        client.answer(status, ((b"Content-Type", content_type),), body)
        if not client.keep:
            self.finish(linger=head.bodied or bool(self._rest))

    def _identify(self, head: Head) -> None:
        self._head = head
        self.phase = Phase.ASKING
        self.deadline = NEVER
        try:
            verdict = self.hub.gateway.identify(head)
        except Exception as bug:
            self._failed(bug)
            return
        if verdict is None or isinstance(verdict, str | Refusal):
            self._decide(head, verdict)
        else:
            self._asking = asyncio.ensure_future(verdict)
            self._asking.add_done_callback(self._asked)

    def _asked(self, asking: asyncio.Future[Verdict]) -> None:
        head, self._asking = self._head, None
        if self.phase is not Phase.ASKING or head is None or asking.cancelled():
            return
        bug = asking.exception()
        if bug is not None:
            self._failed(bug)
        else:
            self._decide(head, asking.result())

    def _failed(self, bug: BaseException) -> None:
        self.hub.report("Identifying a client failed through a bug", peer=self.peer, error=bug)
        self._refuse(_BUG, told=True)

    def _decide(self, head: Head, verdict: Verdict) -> None:
        if isinstance(verdict, Refusal):
            self._refuse(verdict)
            return
        self._caller = verdict
        rest, length = self._rest, head.length or 0
        if not head.bodied:
            self._serve(b"")
        elif not head.chunked and len(rest) >= length <= self.hub.limits.replay_max and self.hub.budget.take(length):
            self._kept = length
            self._rest = rest[length:]
            self._serve(rest[:length])
        else:
            self._read_body(head)

    # Bodies.

    def _read_body(self, head: Head) -> None:
        hub, rest = self.hub, self._rest
        self._intake = Intake(head.length, head.chunked, hub.limits.replay_max, hub.budget, self._drained)
        self.phase = Phase.READING
        self._expect_body()
        if rest:
            self._rest = b""
            self._take(rest)
        elif head.expects:
            self.transport.write(_CONTINUE)

    def _expect_body(self) -> None:
        intake = self._intake
        if intake is None or intake.complete or intake.full:
            self.deadline = NEVER
        else:
            self.deadline = self.hub.now + self.hub.limits.body_seconds
            self.resume_reading()

    def _take(self, data: bytes) -> None:
        intake = self._intake
        assert intake is not None  # noqa: S101 - a body is being read
        try:
            self._rest = intake.feed(data)
        except Malformed as problem:
            self._refuse(problem.refusal)
            return
        except Overdrawn:
            self._refuse(_NO_MEMORY)
            return
        if intake.full:
            self.pause_reading()
        self._expect_body()
        if self.phase is Phase.READING and (intake.complete or intake.stream is not None):
            self._serve(intake.body())

    def _drained(self) -> None:
        if self._intake is not None and self.phase is Phase.SERVING:
            self._expect_body()

    # Requests.

    def _keeps(self, head: Head) -> bool:
        return head.keep and not self.hub.draining

    def _serve(self, body: bytes | BodyStream) -> None:
        head = self._head
        assert head is not None  # noqa: S101 - it was just identified
        self._head = None
        self.phase = Phase.SERVING
        request = build_request(head, body, self._caller, self.hub.ids)
        self._client = WaitingClient(self.transport, head.method, head.modern, self._keeps(head))
        if self._turns is None:
            self._turns = Turns(self.hub, self._settle)
        self._turns.give(request, self._client)

    def _settle(self, client: WaitingClient) -> None:
        """The request has ended, well or not."""
        self._release()
        intake, self._intake, self._client = self._intake, None, None
        if self.phase is not Phase.SERVING:
            return  # the connection is lost, or has had its last answer
        if not client.begun:
            client.keep = False
            client.answer(_BUG.status, (JSON,), _BUG.body)
        elif not client.over:
            client.cut()
        unread = intake is not None and not intake.complete
        if client.keep and not unread and not self.hub.closing:
            self._wait()
        else:
            self._stop()
            self.finish(linger=unread or bool(self._rest))

    def _refuse(self, refusal: Refusal, *, told: bool = False) -> None:
        """Answer in a backend's place and close, also in the middle of a request. `told`: the operator knows."""
        client = self._client
        if not told:
            self.hub.report("Refused a request", status=refusal.status, reason=refusal.message, peer=self.peer)
        if client is None:
            self.write_refusal(refusal, bodiless=self._head is not None and self._head.method == "HEAD")
        elif not client.begun:
            client.keep = False
            client.answer(refusal.status, (JSON, *refusal.headers), refusal.body)
        else:
            client.cut()
        self._give_up()
        self.finish(linger=client is None or not client.begun)

    def _give_up(self) -> None:
        if self._client is not None:
            self._client.gone = True
        if self._intake is not None:
            self._intake.break_off()
        self._release()
        self._stop()

    def _stop(self) -> None:
        if self._turns is not None:
            self._turns.stop()

    def _release(self) -> None:
        self.hub.budget.give(self._kept)
        self._kept = 0
        if self._intake is not None:
            self._intake.release()
