"""The serving half of a client connection: hands a request to the gateway, and settles how it ended."""

from abc import abstractmethod
from functools import partial

from lb.exchange import BodyStream, Ended
from lb.refusal import Refusal
from lb.wire.head import Head
from lb.wire.hub import Hub
from lb.wire.intake import Intake
from lb.wire.line import JSON, LINGERING, SERVING, WAITING, Line
from lb.wire.relay import WaitingClient
from lb.wire.request import build_request
from lb.wire.turns import Turns
from lb.wire.websocket import converse

BUG = Refusal(500, "InternalServerError", "The load balancer failed on this request.")
_SHUT_DOWN = Refusal(503, "ServerBusy", "The load balancer is shutting down.")


class Serving(Line):
    """Serves one request at a time. What is read, and when, is `Front`'s."""

    __slots__ = ("_client", "_head", "_intake", "_kept", "_lasting", "_rest", "_turns")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._rest = b""
        """Received and not looked at yet: the beginning of a head, or pipelined requests."""
        self._head: Head | None = None
        """Of the request that is not yet being served."""
        self._intake: Intake | None = None
        self._kept = 0
        """Bytes of the budget that a body which needed no intake holds."""
        self._lasting = False
        """The client lets the connection outlive the request that is being served."""
        self._client: WaitingClient | None = None
        """Of the request that is being served."""
        self._turns: Turns | None = None

    @abstractmethod
    def _wait(self) -> None:
        """For the next request, which may be here already."""

    @abstractmethod
    def _expect_body(self) -> None:
        """Go on as the body that is on its way needs it."""

    def pause_writing(self) -> None:
        self.stalled = True
        self.deadline = self.hub.now + self.hub.limits.stall_seconds
        if self._client is not None:
            self._client.pause()

    def resume_writing(self) -> None:
        self.stalled = False
        if self._client is not None:
            self._client.resume()
        if self.phase == WAITING:
            self._wait()
        elif self.phase < LINGERING:
            self._expect_body()

    def take_rest(self) -> bytes:
        """What came too early, and is now for somebody else."""
        rest, self._rest = self._rest, b""
        return rest

    def last_call(self) -> None:
        """The listener drains: the request under way is the last one here."""
        if self._client is not None and not self._client.begun:
            self._client.keep = False

    def cut(self) -> None:
        """Time is up, also for what is under way."""
        answered = self._client is not None and self._client.over
        if self.phase < LINGERING and not answered and (self.phase != WAITING or self._rest):
            self._refuse(_SHUT_DOWN, told=True, ended=Ended.DRAINED)
        self.transport.close()

    def _may_keep(self, head: Head) -> bool:
        return head.keep and not self.hub.draining

    def _serve(self, head: Head, body: bytes | BodyStream, caller: str | None) -> None:
        self._head = None
        self.phase = SERVING
        request = build_request(head, body, caller, self.hub.ids)
        self._lasting = head.keep
        # A reply that overtakes the request's body is the last one, and says so.
        keep = self._may_keep(head) and (self._intake is None or self._intake.complete)
        self._client = WaitingClient(self.transport, head.method, head.modern, keep)
        self._client.beats = self.hub.beats
        if head.handshake is not None:
            self._client.switch = partial(converse, self)
            self._client.keep = False  # what comes behind a handshake that was refused is no request
        if head.modern:  # RFC 9110 section 15.2: an older client knows no interim replies
            request.interim = self._client.hint
        request.forgotten = self._forgotten
        if self._turns is None:
            self._turns = Turns(self.hub, self._settle)
        self._turns.give(request, self._client)

    def _settle(self, client: WaitingClient) -> None:
        """The request has ended, well or not."""
        self._release()
        intake, self._intake, self._client = self._intake, None, None
        if self.phase != SERVING:
            return  # the connection is lost, or has had its last answer
        if not client.begun:
            client.keep = False
            client.answer(BUG.status, (JSON,), BUG.body)
        elif not client.over:
            client.cut()
        unread = intake is not None and not intake.complete
        if client.keep and not unread and not self.hub.closing:
            self._wait()
        else:
            self._stop()
            self.finish(linger=unread or bool(self._rest))

    def _refuse(self, refusal: Refusal, *, told: bool = False, ended: Ended = Ended.REFUSED) -> None:
        """Answer in a backend's place and close, also in the middle of a request. `told`: the operator knows."""
        client = self._client
        begun = client is not None and client.begun
        if not told:
            event = "Cut a reply" if begun else "Refused a request"
            self.hub.report(event, status=refusal.status, reason=refusal.message, peer=self.peer)
        if client is not None:
            client.ended = ended
        if client is None:
            self.write_refusal(refusal, bodiless=self._head is not None and self._head.method == "HEAD")
        elif begun:
            client.cut()
        else:
            client.keep = False
            client.answer(refusal.status, (JSON, *refusal.headers), refusal.body)
        self.give_up()
        self.finish(linger=not begun)

    def give_up(self) -> None:
        """The client gets nothing more: end what is under way for it."""
        if self._client is not None:
            self._client.gone = True
        if self._intake is not None:
            self._intake.break_off()
        self._release()
        self._stop()

    def _stop(self) -> None:
        if self._turns is not None:
            self._turns.stop()

    def _forgotten(self) -> None:
        """The reply has begun: a body that is complete will not be sent again."""
        if self._intake is None or self._intake.complete:
            self._release()

    def _release(self) -> None:
        self.hub.room.memory.give(self._kept)
        self._kept = 0
        if self._intake is not None:
            self._intake.release()
