"""The words that the spine and the rim share: a request, a reply, and the ports between them.

`failover` sends through a `Transport` and reads a `Reply`; `gateway` answers a `Client`. `wire` implements all three on
sockets, tests implement them in ten lines. Header names and values are bytes as they stand on the wire.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from lb.balancing.affinity import Binding
from lb.balancing.asker import ANYBODY, Asker
from lb.balancing.backend import Backend
from lb.balancing.model_scan import ModelScan
from lb.events import Trace
from lb.metering.quota import Ticket
from lb.metering.usage import Usage

Headers = Sequence[tuple[bytes, bytes]]


def render(headers: Headers) -> bytes:
    """Header fields as they stand on the wire."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


class BodyStream(Protocol):
    """A request body too large for memory. What is kept of it can be read again; the rest can be read once."""

    @property
    def length(self) -> int | None:
        """Its Content-Length in bytes, or None when the client sends it chunked."""

    @property
    def prefix(self) -> bytes:
        """What was read before it was found to be too large; iteration yields it again, first."""

    @property
    def started(self) -> bool:
        """Has anybody read of it what is not kept? Then it cannot be sent to a second backend."""

    @property
    def whole(self) -> bool:
        """Is all of it kept, so that it can be read again and again?"""

    @property
    def seen(self) -> ModelScan | None:
        """What was found of its model in all that is kept; None where nobody looked."""

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """Its pieces. A reader that stops before the end closes this, so that it is known to be gone."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What of a WebSocket's opening handshake goes on (RFC 6455 section 4.1)."""

    key: bytes
    """The client's `Sec-WebSocket-Key`: it goes on, so that the backend's answer to it goes back unchanged."""
    protocols: tuple[bytes, ...] = ()
    """The subprotocols that it offers, less those that hold a key."""


class Request:
    """One request as it is to be sent on: hop-by-hop fields, `Host`, body framing and the client's credentials are
    already gone from `headers`; everything else is what the client sent, in its order and spelling."""

    # Defaults stand here, and not in `__init__`, since there is one for each request and most need few of them. (And
    # it is no dataclass, since the constructor that `dataclasses` makes is not compiled.)
    id: str
    method: str
    target: bytes
    """Origin-form path and query, raw."""
    headers: Headers
    body: bytes | BodyStream
    chunked: bool
    """The client sent it with `Transfer-Encoding: chunked`, so it goes on that way."""
    sized: bool
    """The client sent a Content-Length (also of 0), so a Content-Length goes on."""
    content_type: bytes
    content_encoding: bytes
    caller: str | None
    """Who the client turned out to be, when callers are checked."""
    peer: str
    """The address the connection came from."""
    forwarded_for: bytes
    """What proxies in front of us say about where it came from: anybody may have written the beginning of it."""
    fields: bytes
    """`headers`, rendered once for all attempts: `drop` and `add` change both."""
    handshake: Handshake | None
    """It asks for a WebSocket: the reply that grants it has status 101, and its body is what the backend sends there.
    """
    interim: Callable[[int, Headers], None] | None = None
    """Told of interim replies (1xx): the client's way to hear of them while nobody has answered it yet."""
    asker: Asker = ANYBODY
    """For whom it is sent, where there are tenants."""
    ticket: Ticket | None = None
    """What it reserved."""
    forgotten: Callable[[], None] | None = None
    """Told when the content is needed no longer: its share of the memory for bodies is free again."""
    binding: Binding | None = None
    """Where the objects live that it names."""
    key: bytes = b""
    """Requests with the same key are better sent to the same backend."""
    sent_to: str | None = None
    """The backend whose answer is relayed."""
    unasked_usage: bool = False
    """It asks for usage that the client did not ask for, so that is to be taken out of the reply."""
    once: bool = False
    """It makes something that must not be made twice, so it is not sent again where it may have arrived."""
    spend: Callable[[Usage], None] | None = None
    """Told of each part of its cost while it runs, where it runs long and has a ticket."""
    trace: Trace | None
    """Follows it, where it is recorded."""

    def __init__(
        self,
        id: str,
        method: str,
        target: bytes,
        headers: Headers,
        body: bytes | BodyStream = b"",
        chunked: bool = False,
        sized: bool = False,
        content_type: bytes = b"",
        content_encoding: bytes = b"",
        caller: str | None = None,
        peer: str = "",
        forwarded_for: bytes = b"",
        fields: bytes = b"",
        handshake: Handshake | None = None,
    ) -> None:
        self.id = id
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.chunked = chunked
        self.sized = sized
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.caller = caller
        self.peer = peer
        self.forwarded_for = forwarded_for
        self.fields = fields or render(headers)
        self.handshake = handshake
        self.trace = None

    def drop(self, *names: bytes) -> None:
        """Let these fields, by their lower-case names, go no further."""
        kept = [pair for pair in self.headers if pair[0].lower() not in names]
        if len(kept) != len(self.headers):
            self.headers, self.fields = kept, render(kept)

    def add(self, name: bytes, value: bytes) -> None:
        """Let this field go on, too, behind the others."""
        added = (name, value)
        self.headers, self.fields = (*self.headers, added), self.fields + render((added,))

    def forget_content(self) -> None:
        """It will not be sent again: a stream that runs for minutes need not hold it."""
        self.headers, self.fields, self.body = (), b"", b""
        if self.forgotten is not None:
            self.forgotten()

    @property
    def replayable(self) -> bool:
        """Can it be sent again?"""
        return isinstance(self.body, bytes) or not self.body.started


class Blame(Enum):
    """What kept a backend from giving a reply head, or from finishing its body."""

    OURS = "ours"  # this machine is short of something (open files, ports), so nothing was sent
    CONNECT = "connect"  # no connection, so nothing was sent: name resolution, refused, unreachable, timed out
    TLS = "tls"
    TOKEN = "token"  # noqa: S105 - no credential could be had, so nothing was sent
    LOST = "lost"  # the connection ended early
    SILENT = "silent"  # nothing came for the idle limit
    MALFORMED = "malformed"  # what came is not HTTP, or is framed in two ways at once


class BackendFailed(Exception):
    """The backend's fault; `detail` is for operators and holds no secret."""

    def __init__(self, blame: Blame, detail: str) -> None:
        super().__init__(f"{blame.value}: {detail}")
        self.blame = blame
        self.detail = detail


class ClientGone(Exception):
    """The client left before it had everything; nobody's health is touched."""


class Receiver(Protocol):
    """Takes a reply's body as it arrives. Called from the event loop, must not block, must not raise."""

    def data(self, chunk: bytes) -> None: ...


class Reply(Protocol):
    """A backend's reply from its head on. Exactly one of `relay` to its end or `close` frees the connection."""

    status: int
    reason: bytes
    raw: bytes
    """The head as received, from its status line to its blank line, where all of it may go on; else empty."""
    length: int | None
    """Body length in bytes where the head tells it (0 for HEAD, 204 and 304), else None."""

    @property
    def headers(self) -> Headers:
        """All fields as received, hop-by-hop ones included."""

    def get(self, name: bytes) -> bytes | None:
        """First value of a field by its lower-case name."""

    @property
    def ended(self) -> bool:
        """Has the whole body arrived?"""

    async def more(self) -> bytes:
        """Wait for and return the next piece of the body, which is also kept for `relay`; b"" at the end.

        Raises `BackendFailed` when the backend cuts it.
        """

    def whole(self) -> bytes | None:
        """The whole body where it has arrived and nobody has taken it, else None; it is then taken."""

    async def relay(self, receiver: Receiver) -> None:
        """Hand over what is held, then every piece as it arrives, and return at the end of the body.

        Raises `BackendFailed` when the backend cuts it: pieces before the cut have been handed over.
        """

    def pause(self) -> None:
        """Read no further for now (back-pressure)."""

    def resume(self) -> None: ...

    def join(self, sender: "Sender") -> "Upstream":
        """Behind a 101: the way toward the backend. `sender` is told when it takes more, and when it is gone."""

    def close(self) -> None:
        """Idempotent. A body not read to its end takes the connection down with it."""


class Sender(Protocol):
    """Sends to a backend what a client says on a WebSocket."""

    def resume(self) -> None:
        """The backend takes more."""

    def stop(self) -> None:
        """It takes no more."""


class Upstream(Protocol):
    """The way toward a backend."""

    blocked: bool
    """It does not read for now: send no more until `resume`."""

    def send(self, data: bytes) -> None:
        """What does not go out at once is kept."""


class Transport(Protocol):
    """Sends one request to one backend."""

    async def send(self, backend: Backend, request: Request, target: bytes, body: bytes | BodyStream) -> Reply:
        """Send and wait for the final reply head (1xx are not final).

        `target` and `body` stand in for the request's own, since both may name a deployment. A reused connection that
        turns out stale before a byte came back is replaced once, unseen, unless the request is to be sent `once`.
        Raises `BackendFailed`.
        """


class Tap(Protocol):
    """Watches the body of a reply. It is fed behind each write, so it can delay, change and break nothing."""

    def data(self, chunk: bytes) -> None:
        """A piece has been relayed. Never raises."""


class Ended(Enum):
    """Why we end a request ourselves."""

    REFUSED = "refused"  # its body stopped arriving, or turned out to be none
    DRAINED = "drained"  # the balancer shuts down


class Client(Protocol):
    """The waiting client, from the moment its request is complete."""

    tap: Tap | None
    """Watches what `relay` relays."""
    gone: bool
    """It closed the connection: then the task that serves it is cancelled, too."""
    ended: "Ended | None"
    """Why we ended it, where it is `gone` because we did."""

    def answer(self, status: int, headers: Headers, body: bytes, extra: bytes = b"") -> None:
        """Send a reply of our own, framed by its length; `extra` are header fields as they stand on the wire."""

    async def relay(self, reply: Reply, extra: bytes) -> None:
        """Send the reply's head with the `extra` fields, as they stand on the wire, then its body to the end.

        Raises `BackendFailed` when the backend cuts it; the connection to the client is then already cut, too, without
        a clean end. Raises `ClientGone`.
        """
