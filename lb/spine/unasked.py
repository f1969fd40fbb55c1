"""Usage of chat streams that the client did not ask for: asked of the backend in its place, and taken out of the reply.

The one exception to unchanged bytes, for who wants exact counts; docs/metrics.md says what a client may see of it.
"""

from lb.balancing.stream_options import with_usage
from lb.exchange import Client, Receiver, Reply, Request, Sender, Tap, Upstream
from lb.metering.tap import Kind, call_of, kind_of
from lb.metering.tenant import Tenant
from lb.metering.withheld import Withheld

_CALLS = frozenset({"chat", "completions"})


class AskForUsage:
    """Asks where `always`, or where a tenant says so; a tenant may also say no."""

    def __init__(self, *, always: bool) -> None:
        self._always = always

    def __call__(self, request: Request, tenant: Tenant | None) -> None:
        """Before the request is routed, since it may move what stands in its body."""
        own = tenant.include_usage if tenant is not None else None
        if own or (own is None and self._always):
            _ask(request)


def _ask(request: Request) -> None:
    body = request.body
    if request.method != "POST" or not isinstance(body, bytes) or call_of(request.target) not in _CALLS:
        return
    if request.content_encoding.strip().lower() not in (b"", b"identity"):
        return
    changed = with_usage(body)
    if changed is None:
        return
    request.body = changed
    request.unasked_usage = True
    # What is packed cannot be taken out, so the backend is not offered to pack it.
    request.drop(b"accept-encoding")
    request.add(b"Accept-Encoding", b"identity")


def hide_usage(reply: Reply, client: Client) -> Reply:
    """The reply as the client may see it, while its tap sees all of it. An error, what is no stream, or is packed after
    all, stays as it came."""
    coding = (reply.get(b"content-encoding") or b"").strip().lower()
    kind = kind_of(reply.get(b"content-type") or b"")
    if not 200 <= reply.status < 300 or kind is not Kind.STREAM or coding not in (b"", b"identity"):
        return reply
    tap, client.tap = client.tap, None
    return Unasked(reply, tap)


class Unasked:
    """A reply without the chunk that only tells the usage; `tap` sees all of it. Its length is not known before."""

    __slots__ = ("_receiver", "_reply", "_tap", "_withheld", "headers", "length", "raw", "reason", "status")

    def __init__(self, reply: Reply, tap: Tap | None) -> None:
        self._reply = reply
        self._tap = tap
        self._withheld = Withheld()
        self._receiver: Receiver | None = None
        self.status, self.reason, self.headers = reply.status, reply.reason, reply.headers
        self.raw = b""  # its head does not go on as it came: a Content-Length in it would be wrong
        self.length: int | None = None

    def get(self, name: bytes) -> bytes | None:
        return self._reply.get(name)

    @property
    def ended(self) -> bool:
        return self._reply.ended

    async def more(self) -> bytes:
        raise AssertionError("whoever decides about a reply has it as it came")

    def whole(self) -> bytes | None:
        body = self._reply.whole()
        if body is None:
            return None
        self._watch(body)
        return self._withheld.feed(body) + self._withheld.end()

    async def relay(self, receiver: Receiver) -> None:
        self._receiver = receiver
        try:
            await self._reply.relay(self)
        finally:
            self._pass(self._withheld.end())

    def data(self, chunk: bytes) -> None:
        """A piece of the backend's body came."""
        self._pass(self._withheld.feed(chunk))
        self._watch(chunk)

    def pause(self) -> None:
        self._reply.pause()

    def resume(self) -> None:
        self._reply.resume()

    def join(self, sender: Sender) -> Upstream:
        return self._reply.join(sender)

    def close(self) -> None:
        self._reply.close()

    def _pass(self, piece: bytes) -> None:
        if piece and self._receiver is not None:
            self._receiver.data(piece)

    def _watch(self, piece: bytes) -> None:
        if self._tap is not None and piece:
            self._tap.data(piece)
