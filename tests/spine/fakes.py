"""Fakes at the spine's own ports: a scripted transport, a client that records, a clock that is turned by hand."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from lb.balancing.backend import Backend
from lb.balancing.model_scan import ModelScan
from lb.balancing.policy import Policy, least_loaded
from lb.balancing.pool import Pool
from lb.balancing.verdict import Judge
from lb.events import Attempted, Event, Exhausted, Finished, Judged
from lb.exchange import BackendFailed, Blame, BodyStream, ClientGone, Ended, Headers, Receiver, Reply, Request, Tap
from lb.failover import Failover
from lb.gateway import Gateway
from tests.made import made

Piece = bytes | Exception | asyncio.Event | float
"""A float is a pause in seconds, of virtual time."""


class Clock:
    """Seconds, moved by hand; starts late, so that nothing depends on zero."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeReply:
    """A reply whose body comes in pieces; an exception among them cuts it, an event or a pause makes it wait."""

    def __init__(self, status: int = 200, headers: Sequence[tuple[str, str]] = (), body: Sequence[Piece] = ()) -> None:
        self.status = status
        self.reason = b"Whatever"
        self.raw = b""
        self.headers: Headers = tuple((name.encode(), value.encode()) for name, value in headers)
        self.length: int | None = None
        self._pieces = list(body)
        self._held: list[bytes] = []
        self._due = 0.0
        self.closed = 0

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def ended(self) -> bool:
        return not self._pieces

    async def _next(self) -> bytes:
        loop = asyncio.get_running_loop()
        while self._pieces:
            piece = self._pieces[0]
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            elif isinstance(piece, float):
                self._due = self._due or loop.time() + piece
                await asyncio.sleep(self._due - loop.time())  # a reader that gave up does not stop the backend
                self._due = 0.0
            self._pieces.pop(0)
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                return piece
        return b""

    async def more(self) -> bytes:
        piece = await self._next()
        self._held.append(piece)
        return piece

    def whole(self) -> bytes | None:
        return None

    async def relay(self, receiver: Receiver) -> None:
        for piece in self._held:
            receiver.data(piece)
        while piece := await self._next():
            receiver.data(piece)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


@dataclass
class Sent:
    """What a backend was asked."""

    backend: str
    target: bytes
    body: bytes


class FakeTransport:
    """Answers by a script for each backend: the last entry repeats. An entry is a reply, a failure, or makes one."""

    def __init__(self, **scripts: Sequence[object]) -> None:
        self.scripts = {name: list(entries) for name, entries in scripts.items()}
        self.running = 0
        self.sent: list[Sent] = []
        self.replies: list[FakeReply] = []

    async def send(self, backend: Backend, request: Request, target: bytes, body: bytes | BodyStream) -> Reply:
        whole = body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])
        self.sent.append(Sent(backend.name, target, whole))
        script = self.scripts[backend.name]
        entry = script.pop(0) if len(script) > 1 else script[0]
        self.running += 1
        try:
            if callable(entry):
                entry = entry()
            if asyncio.iscoroutine(entry):
                entry = await entry
        finally:
            self.running -= 1
        if isinstance(entry, Exception):
            raise entry
        assert isinstance(entry, FakeReply)
        self.replies.append(entry)
        return entry

    @property
    def asked(self) -> list[str]:
        return [sent.backend for sent in self.sent]


@dataclass
class FakeClient:
    """Records what it is given."""

    gone: bool = False
    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    leaves_after: int | None = None
    tap: Tap | None = None
    ended: Ended | None = None

    def data(self, chunk: bytes) -> None:
        self.body += chunk
        if self.tap is not None:
            self.tap.data(chunk)

    def answer(self, status: int, headers: Headers, body: bytes, extra: bytes = b"") -> None:
        assert self.status is None, "answered twice"
        self.status, self.headers, self.body = status, {**dict(headers), **_fields(extra)}, body

    async def relay(self, reply: Reply, extra: bytes) -> None:
        assert self.status is None, "answered twice"
        self.status, self.headers = reply.status, {**dict(reply.headers), **_fields(extra)}
        if self.leaves_after is not None:
            raise ClientGone
        try:
            await reply.relay(self)
        except BackendFailed:
            self.cut = True
            raise


def _fields(rendered: bytes) -> dict[bytes, bytes]:
    return dict(line.split(b": ", 1) for line in rendered.split(b"\r\n") if line)


class FakeStream:
    """A body that can be read once."""

    def __init__(self, prefix: bytes, rest: Sequence[bytes] = (), length: int | None = None) -> None:
        self.prefix = prefix
        self.length = length
        self.started = False
        self.whole = False
        self.seen: ModelScan | None = None
        self._rest = rest

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        self.started = True
        yield self.prefix
        for chunk in self._rest:
            yield chunk


Make = Callable[[], FakeReply]


def throttled(seconds: float | str = 7) -> Make:
    return lambda: FakeReply(429, [("Retry-After", str(seconds))], [b'{"error":{"code":"429"}}'])


def ok(body: bytes = b"{}") -> Make:
    return lambda: FakeReply(200, [("Content-Type", "application/json")], [body])


def failure(blame: Blame, detail: str = "") -> Callable[[], BackendFailed]:
    return lambda: BackendFailed(blame, detail or f"failed: {blame.value}")


def late(seconds: float, make: Callable[[], object]) -> Callable[[], Coroutine[None, None, object]]:
    """Answers after some (virtual) seconds."""

    async def answer() -> object:
        await asyncio.sleep(seconds)
        return make()

    return answer


def when(event: asyncio.Event, make: Callable[[], object]) -> Callable[[], Coroutine[None, None, object]]:
    """Answers as soon as the event is set."""

    async def answer() -> object:
        await event.wait()
        return make()

    return answer


def status(code: int, body: bytes = b"", *headers: tuple[str, str]) -> Make:
    return lambda: FakeReply(code, headers, [body] if body else [])


def stream(*pieces: Piece, headers: Sequence[tuple[str, str]] = ()) -> Make:
    return lambda: FakeReply(200, [("Content-Type", "text/event-stream; charset=utf-8"), *headers], pieces)


CHAT = b"/openai/deployments/chat/chat/completions?api-version=2024-10-21"


def request(target: bytes = CHAT, method: str = "POST", body: bytes | BodyStream = b"{}", **more: object) -> Request:
    headers = more.pop("headers", ())
    made_of = Request("r-1", method, target, headers, body, content_type=b"application/json", sized=True)  # type: ignore[arg-type]
    return made(made_of, **more)


def again(asked: Request, **more: object) -> Request:
    """The same, from somebody else perhaps."""
    same = {
        "headers": asked.headers,
        "content_type": asked.content_type,
        "sized": asked.sized,
        "chunked": asked.chunked,
    }
    return request(asked.target, asked.method, asked.body, **{**same, **more})


def backends(names: str = "a b c", **more: object) -> list[Backend]:
    """Backends in the order in which they are preferred."""
    return [
        Backend(name, f"https://{name}.example", priority=number, api_key="s3cret", **more)  # type: ignore[arg-type]
        for number, name in enumerate(names.split(), 1)
    ]


class Story:
    """A gateway with everything behind it, and what it told."""

    def __init__(
        self,
        scripts: dict[str, Sequence[object]],
        *,
        these: Sequence[Backend] | None = None,
        clock: Callable[[], float] | None = None,
        policy: Policy = least_loaded,
        first_event: float = 0.0,
        max_cooldown: float = 120.0,
        explain: bool = True,
    ) -> None:
        self.clock = clock or Clock()
        self.facts: list[Event] = []
        self.transport = FakeTransport(**scripts)
        self.pool = Pool(these or backends(" ".join(scripts)), self.facts.append, policy=policy)
        self.failover = Failover(
            self.pool,
            self.transport,
            Judge(lambda: 0.0, max_cooldown),
            self.clock,
            self.facts.append,
            first_event_seconds=first_event,
        )
        self.gateway = Gateway(lambda head: None, self.failover, self.clock, self.facts.append, explain=explain)

    async def ask(self, what: Request | None = None, client: FakeClient | None = None) -> FakeClient:
        """Send a request through and wait for its end."""
        client = client or FakeClient()
        await self.gateway.handle(what or request(), client)
        return client

    def told(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def finished(self) -> Finished:
        """How the one request ended."""
        (fact,) = self.told(Finished)
        assert isinstance(fact, Finished)
        return fact

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        return [(fact.backend.name, fact.verdict) for fact in self.told(Judged)]

    @property
    def asked(self) -> list[str]:
        assert self.transport.asked == [fact.backend.name for fact in self.told(Attempted)]
        return self.transport.asked

    @property
    def waits(self) -> list[float]:
        return [fact.seconds for fact in self.told(Exhausted)]

    def at_rest(self) -> None:
        """Every permit was returned, every reply was closed, nobody is being asked or waits."""
        rows = self.pool.snapshot(self.clock())
        assert {row.in_flight for row in rows} == {0}
        assert all(reply.closed for reply in self.transport.replies)
        assert self.transport.running == 0
        assert not self.failover.permits.waiting
        health = [health for name in (None, "chat") for health in self.pool._table.lane(name)]
        assert not any(cell.trials or cell.breaker.probing or cell.site.breaker.probing for cell in health)
