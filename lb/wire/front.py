"""One client connection: finds the requests in what arrives, and gets each one checked, taken in and served, in order.

WAITING --head--> ASKING --known--> READING --body--> SERVING --reply--> WAITING
   |                |                  |                 |
   +----------------+---- refused -----+-----------------+--> LINGERING --> CLOSED
"""

import asyncio

from lb.refusal import Refusal
from lb.wire.head import Head
from lb.wire.hub import Hub, Verdict
from lb.wire.intake import Intake, Overdrawn
from lb.wire.line import ASKING, CLOSED, LINGERING, LOOK_SECONDS, NEVER, READING, SERVING, WAITING
from lb.wire.malformed import Malformed
from lb.wire.pages import Page, own_page
from lb.wire.relay import WaitingClient
from lb.wire.repeats import Heads
from lb.wire.serving import BUG, Serving

PIPELINED_MAX = 64 * 1024
"""Bytes of further requests that wait while one is served; then reading stops."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_SLOW_HEAD = Refusal(408, "RequestTimeout", "The request head did not arrive in time.")
_SLOW_BODY = Refusal(408, "RequestTimeout", "The request body stopped arriving.")
_NO_MEMORY = Refusal(503, "ServerBusy", "Too many large requests are under way.", ((b"Retry-After", b"1"),))


class Front(Serving):
    """See the head of this file."""

    __slots__ = ("_asking", "_caller", "_heads")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._heads = Heads()
        self._caller: str | None = None
        self._asking: asyncio.Future[Verdict] | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.hub.fronts.add(self)
        self.hub.deserted.clear()

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase >= LINGERING:
            return
        if self._intake is not None and not self._intake.complete:
            self._take(data)
            return
        if self._rest:
            self._rest += data
        else:
            self._rest = data
            if phase == WAITING:
                deadline = self.hub.now + self.hub.limits.head_seconds
                if deadline < self.deadline:
                    self.deadline = deadline
        if phase == WAITING and not self.stalled:
            self._advance()
        elif len(self._rest) > PIPELINED_MAX:
            self._take_no_more()

    def _take_no_more(self) -> None:
        self.pause_reading()
        if not self.stalled:  # else its time to read runs, and is not to be cut short
            self.deadline = min(self.deadline, self.hub.now + LOOK_SECONDS)

    def eof_received(self) -> bool:
        """A client that closes its side has left: what is under way is given up, what is written still goes out."""
        if self._client is not None and not self._client.over:
            self.transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = CLOSED
        self.hub.fronts.discard(self)
        if not self.hub.fronts:
            self.hub.deserted.set()
        if self._asking is not None:
            self._asking.cancel()
        client = self._client
        if client is None or not client.over:
            self.give_up()

    # What the listener calls.

    def overdue(self) -> None:
        """The deadline has passed."""
        answered = self._client is not None and self._client.over
        if self.phase >= LINGERING or self.stalled or answered:
            self.transport.abort()
        elif self.paused:
            self.look()
        elif self.phase != WAITING:
            self._refuse(_SLOW_BODY)
        elif self._rest:
            self._refuse(_SLOW_HEAD)
        else:
            self.finish(linger=False)

    def close_idle(self) -> None:
        """Close unless a request is under way."""
        if self.phase == WAITING and not self._rest:
            self.finish(linger=False)

    # Heads.

    def _wait(self) -> None:
        limits = self.hub.limits
        self.phase = WAITING
        if not self.stalled:
            self.deadline = self.hub.now + (limits.head_seconds if self._rest else limits.idle_seconds)
            self.resume_reading()
            self._advance()

    def _advance(self) -> None:
        while self.phase == WAITING and self._rest and not self.stalled:
            try:
                head, self._rest = self._heads.next(self._rest, self.peer)
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
        client = WaitingClient(self.transport, head.method, head.modern, self._may_keep(head) and not head.bodied)
        client.answer(status, ((b"Content-Type", content_type),), body)
        if client.keep:
            self.deadline = self.hub.now + self.hub.limits.idle_seconds
        else:
            self.finish(linger=head.bodied or bool(self._rest))

    def _identify(self, head: Head) -> None:
        self._head = head
        self.phase = ASKING
        self.deadline = NEVER
        try:
            verdict = self.hub.gateway.identify(head)
        except Exception as bug:
            self._failed(bug)
            return
        if verdict is None or isinstance(verdict, (str, Refusal)):
            self._decide(head, verdict)
        else:
            self._asking = asyncio.ensure_future(verdict)
            self._asking.add_done_callback(self._asked)

    def _asked(self, asking: asyncio.Future[Verdict]) -> None:
        head, self._asking = self._head, None
        if self.phase != ASKING or head is None or asking.cancelled():
            return
        bug = asking.exception()
        if bug is not None:
            self._failed(bug)
        else:
            self._decide(head, asking.result())

    def _failed(self, bug: BaseException) -> None:
        self.hub.report("Identifying a client failed through a bug", peer=self.peer, error=bug)
        self._refuse(BUG, told=True)

    def _decide(self, head: Head, verdict: Verdict) -> None:
        if isinstance(verdict, Refusal):
            self._refuse(verdict)
            return
        self._caller = verdict
        rest, length = self._rest, head.length or 0
        if not head.bodied:
            self._serve(head, b"", self._caller)
        elif not head.chunked and len(rest) >= length <= self.hub.room.in_memory and self.hub.room.memory.take(length):
            self._kept = length
            self._rest = rest[length:]
            self._serve(head, rest[:length], self._caller)
        else:
            self._read_body(head)

    # Bodies.

    def _read_body(self, head: Head) -> None:
        hub, rest = self.hub, self._rest
        self._intake = Intake(head, hub.room, self._drained)
        self.phase = READING
        self._expect_body()
        if rest:
            self._rest = b""
            self._take(rest)
        elif head.expects:
            self.transport.write(_CONTINUE)

    def _expect_body(self) -> None:
        intake = self._intake
        if intake is None or intake.complete:
            deadline = self.hub.now + LOOK_SECONDS if self.paused else NEVER
        elif intake.full:
            deadline = self.hub.now + LOOK_SECONDS
        else:
            deadline = self.hub.now + self.hub.limits.body_seconds
            self.resume_reading()
        if not self.stalled:
            self.deadline = deadline

    def _take(self, data: bytes) -> None:
        intake, client = self._intake, self._client
        assert intake is not None  # noqa: S101 - a body is being read
        if client is not None and client.over:
            return  # too late, and the connection is about to close
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
        if intake.complete and client is not None and not client.begun:
            client.keep = self._lasting and not self.hub.draining
        head = self._head
        if head is not None and intake.ready:
            self._serve(head, intake.body(), self._caller)

    def _drained(self) -> None:
        """A part of the body has left memory, or all is kept that will be."""
        intake, head = self._intake, self._head
        if intake is None or not READING <= self.phase <= SERVING:
            return
        self._expect_body()
        if head is not None and intake.ready:
            self._serve(head, intake.body(), self._caller)
