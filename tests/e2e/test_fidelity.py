"""What a backend receives is what it would receive directly, and what a client receives is what the backend sent."""

import gzip
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from balancer import Balancer, hasty
from raw import Message, RawBackend, chunks, exchange, post, sized

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = b"/openai/deployments/chat/chat/completions?api-version=2024-10-21"
PLAIN = b'{"messages":[{"role":"user","content":"\xc3\xbc\\u2028 \xf0\x9f\x8e\x89"}],"a":1,"a":2}'
MIB = 1024 * 1024
BLOCK = bytes(range(256)) * 4096
OURS = (b"host", b"api-key", b"authorization")

CHUNKED = b"Transfer-Encoding: chunked"
ODD = (b"X-Empty:", b'X-Odd: a:b; c="d, e"\t(f)', b"X-Latin: \xe9\xff", b"X-Padded:  v ")
HOP = (b"Connection: X-Hop, keep-alive", b"X-Hop: 1", b"Keep-Alive: 5")
TRACE = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REQUESTS = {
    "plain": sized(CHAT, PLAIN, b"Content-Type: application/json"),
    "nothing but a host": (post(b"/openai/v1/models", method=b"GET"), b""),
    "duplicate fields": sized(CHAT, PLAIN, b"X-A: 1", b"x-a: 2", b"X-A: 1", b"Accept: a/b", b"Accept: c/d"),
    "spelling of names": sized(CHAT, PLAIN, b"cOnTeNt-TyPe: application/json", b"X-WEIRD_Name!: 1", b"user-AGENT: me"),
    "empty and odd values": sized(CHAT, PLAIN, *ODD),
    "cookies": sized(CHAT, PLAIN, b"Cookie: a=1; b=2", b"Cookie: c=3"),
    "a long value": sized(CHAT, PLAIN, b"X-Long: " + b"v" * 20_000),
    "empty query": (post(b"/openai/v1/models?", method=b"GET"), b""),
    "odd query": (post(b"/openai/v1/files?a&a=&=b&&c=%zz&d=%3a+%2B?/#"[:-1], method=b"GET"), b""),
    "escapes": (post(b"/openai/v1/files/%7Efoo%20bar%2Fb~%c3%a9?x=%7E", method=b"GET"), b""),
    "double slashes": (post(b"//double//slash///", method=b"GET"), b""),
    "marks in the path": (post(b"/openai/v1/a:b;v=1,2@x!$'()*+=|^{}[]`", method=b"GET"), b""),
    "gzip": sized(CHAT, gzip.compress(PLAIN), b"Content-Type: application/json", b"Content-Encoding: gzip"),
    "chunked": (post(CHAT, CHUNKED), chunks(PLAIN[:1], PLAIN[1:30], PLAIN[30:])),
    "chunk extensions": (post(CHAT, b"transfer-encoding: Chunked"), chunks(PLAIN[:7], PLAIN[7:], extension=b';a="b"')),
    "no chunks at all": (post(CHAT, CHUNKED), chunks()),
    "HEAD": (post(b"/openai/v1/models", method=b"HEAD"), b""),
    "OPTIONS": (post(b"/openai/v1/models", b"Origin: https://a.example", method=b"OPTIONS"), b""),
    "DELETE with a body": sized(b"/openai/v1/files/file-1", b'{"x":1}', method=b"DELETE"),
    "GET with a body": sized(b"/openai/v1/files", b"odd", method=b"GET"),
    "PATCH": sized(b"/openai/v1/x", b"{}", method=b"PATCH"),
    "empty body with a length": sized(b"/openai/v1/responses/resp_1/cancel", b""),
    "empty body without one": (post(b"/openai/v1/responses/resp_1/cancel"), b""),
    "binary": sized(b"/openai/v1/x", bytes(range(256))),
    "expects 100": sized(CHAT, PLAIN, b"Expect: 100-continue"),
    "fields for one hop": sized(CHAT, PLAIN, *HOP, b"TE: trailers"),
    "trailers": (post(CHAT, CHUNKED, b"Trailer: X-T"), chunks(PLAIN, trailers=b"X-T: 1\r\n")),
    "tracing": sized(CHAT, PLAIN, TRACE, b"x-ms-client-request-id: 1"),
    "20 MiB": sized(CHAT, BLOCK * 20),
    "40 MiB": sized(CHAT, BLOCK * 40),
    "40 MiB in chunks": (post(CHAT, CHUNKED), chunks(*[BLOCK[:-1] for _ in range(40)])),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[RawBackend]:
    async with RawBackend() as backend:
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def balancer(backend: RawBackend) -> AsyncIterator[Balancer]:
    async with hasty(BACKEND_1_URL=backend.url, BACKEND_1_APIKEY="key-of-1") as balancer:
        yield balancer


def without_version(first: bytes) -> bytes:
    return first.rpartition(b" ")[0]


def assert_same_request(direct: Message, through: Message, backend: RawBackend) -> None:
    assert without_version(through.first) == without_version(direct.first)
    assert through.first.endswith(b" HTTP/1.1")
    # The balancer answers `Expect` itself, so that the body is here when a second backend needs it.
    assert through.end_to_end(*OURS) == direct.end_to_end(*OURS, b"expect")
    assert through.chunked == direct.chunked
    assert len(through.body) == len(direct.body)
    assert through.body == direct.body
    assert through.all(b"host") == [b"127.0.0.1:%d" % backend.port]
    assert through.all(b"api-key") == [b"key-of-1"]
    assert not through.all(b"authorization")
    assert through.trailers == b""


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_backend_receives_what_it_would_receive_directly(
    name: str, backend: RawBackend, balancer: Balancer
) -> None:
    head, body = REQUESTS[name]
    bodiless = head.startswith(b"HEAD ")
    backend.answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (2, b"" if bodiless else b"{}"))
    for url in (backend.url, balancer.url):
        assert (await exchange(url, head, body)).status == 200
    direct, through = backend.received
    assert_same_request(direct, through, backend)


async def test_an_old_client_is_served_and_the_backend_sees_a_modern_request(
    backend: RawBackend, balancer: Balancer
) -> None:
    """HTTP/1.0 without a Host; its reply is framed by the connection's end where the length is not known."""
    backend.answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\n{}\r\n", b"0\r\n\r\n")
    request = b"POST " + CHAT + b" HTTP/1.0\r\nContent-Length: 2\r\nX-Old: yes\r\n\r\n"
    reply = await exchange(balancer.url, request, b"{}")
    assert (reply.status, reply.body, reply.chunked) == (200, b"{}", False)
    assert reply.all(b"connection") == [b"close"]
    (received,) = backend.received
    assert received.first == b"POST " + CHAT + b" HTTP/1.1"
    assert received.end_to_end(*OURS) == [(b"X-Old", b"yes"), (b"Content-Length", b"2")]


async def test_an_absolute_target_decides_nothing_about_where_it_goes(backend: RawBackend, balancer: Balancer) -> None:
    backend.answers(*[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
    head, body = sized(b"http://elsewhere.example" + CHAT, PLAIN)
    assert (await exchange(balancer.url, head, body)).status == 200
    assert backend.received[0].first == b"POST " + CHAT + b" HTTP/1.1"


def reply(*lines: bytes, body: bytes = b"", status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join((b"HTTP/%b %b" % (version, status), *lines, b"", body))


def sized_reply(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> tuple[bytes, ...]:
    return (reply(*lines, b"Content-Length: %d" % len(body), body=body, status=status),)


def one_by_one(*pieces: bytes) -> tuple[bytes, ...]:
    whole = b"".join(pieces)
    return tuple(whole[at : at + 1] for at in range(len(whole)))


EVENTS = b': hello\r\n\r\nevent: x\r\ndata: {"choices":[]}\r\n\r\ndata: {"choices":[{"delta":{}}]}\n\ndata: [DONE]\n\n'
STREAM = b"Content-Type: text/event-stream"
NINES = [BLOCK[at : at + 9999] for at in range(0, len(BLOCK), 9999)]
SPLIT = [EVENTS[at : at + 7] for at in range(0, len(EVENTS), 7)]
REPLIES = {
    "plain": sized_reply(b'{"a":1}', b"Content-Type: application/json"),
    "no fields but a length": sized_reply(b"{}"),
    "no type and no date are added": sized_reply(b"\x00\xff", b"Server: backend/1"),
    "spelling and order": sized_reply(b"{}", b"x-b: 2", b"X-A: 1", b"cOnTeNt-TyPe: a/b", b"X-B: 3", b"x-a: 4"),
    "cookies stay apart": sized_reply(b"{}", b"Set-Cookie: a=1; Path=/", b"Set-Cookie: b=2; HttpOnly"),
    "odd values": sized_reply(b"{}", *ODD, b"Via: 1.1 gateway"),
    "limits and ids": sized_reply(b"{}", b"x-ratelimit-limit-tokens: -1", b"apim-request-id: 1"),
    "gzip": sized_reply(gzip.compress(b"{}"), b"Content-Encoding: gzip"),
    "broken gzip": sized_reply(b"not gzip at all", b"Content-Encoding: gzip"),
    "br": sized_reply(b"\x0b\x00\x80{}\x03", b"Content-Encoding: br"),
    "an unknown coding": sized_reply(b"whatever", b"Content-Encoding: x-ours, gzip"),
    "chunks": (reply(CHUNKED), chunks(b"{", b'"a"', b":1}")),
    "chunk extensions": (reply(b"transfer-encoding: CHUNKED"), chunks(b"{}", b" ", extension=b";a=b")),
    "chunks byte by byte": one_by_one(reply(CHUNKED, b"X-A: 1"), chunks(b"{", b'"a":1}')),
    "a length byte by byte": one_by_one(*sized_reply(b'{"a":1}', b"X-A: 1")),
    "trailers": (reply(CHUNKED, b"Trailer: X-T"), chunks(b"{}", trailers=b"X-T: 1\r\n")),
    "an event stream": (reply(CHUNKED, STREAM), *[chunks(piece)[:-5] for piece in SPLIT], b"0\r\n\r\n"),
    "an event stream byte by byte": one_by_one(reply(CHUNKED, STREAM), chunks(EVENTS)),
    "a packed event stream": (reply(CHUNKED, STREAM, b"Content-Encoding: gzip"), chunks(gzip.compress(EVENTS))),
    "an event stream with a length": sized_reply(EVENTS, STREAM),
    "204": (reply(status=b"204 No Content"),),
    "304 with a length": (reply(b"Content-Length: 5", b'ETag: "x"', status=b"304 Not Modified"),),
    "a redirect is not followed": sized_reply(b"", b"Location: https://a.example/", status=b"302 Found"),
    "a client's error": sized_reply(b'{"error":{}}', b"x-a: 1", status=b"422 Unprocessable Entity"),
    "a reason of its own": sized_reply(b"{}", status=b"200 Tr\xe8s bien, 'merci'"),
    "no reason": sized_reply(b"{}", status=b"200 "),
    "an unknown status": sized_reply(b"{}", status=b"299 Odd"),
    "a length written oddly": (reply(b"Content-Length: 002", body=b"{}"),),
    "an empty body": sized_reply(b""),
    "two megabytes": sized_reply(BLOCK * 2),
    "two megabytes in chunks": (reply(CHUNKED), chunks(*NINES * 2)),
    "early hints": (reply(b"Link: </a>; rel=preload", status=b"103 Early Hints"), *sized_reply(b"{}")),
    "keep-alive fields": sized_reply(b"{}", *HOP),
}  # fmt: skip
UNTIL_CLOSE = {
    "until the end": (reply(b"Content-Type: a/b"), b"some", b"thing"),
    "an old server": (reply(b"X-A: 1", version=b"1.0"), b"something"),
    "an event stream until the end": (reply(STREAM), EVENTS),
    "nothing until the end": (reply(b"Content-Type: a/b"),),
    "a last reply": (reply(b"Connection: close", b"Content-Length: 2", body=b"{}"),),
}
EXPLANATION = (b"x-lb-backend", b"x-lb-attempts", b"x-lb-request-id")


def assert_same_reply(direct: Message, through: Message, sent: tuple[bytes, ...]) -> None:
    assert through.first.replace(b"HTTP/1.1", b"") == direct.first.replace(b"HTTP/1.1", b"").replace(b"HTTP/1.0", b"")
    assert through.end_to_end(*EXPLANATION) == direct.end_to_end()
    assert [through.all(name)[0] for name in EXPLANATION[:2]] == [b"BACKEND_1", b"1"]
    assert len(through.body) == len(direct.body)
    assert through.body == direct.body
    assert through.interim == direct.interim
    assert (through.trailers, through.whole) == (b"", True)


@pytest.mark.parametrize("name", [*REPLIES, *UNTIL_CLOSE])
async def test_a_client_receives_what_the_backend_sent(name: str, backend: RawBackend, balancer: Balancer) -> None:
    sent = REPLIES.get(name) or UNTIL_CLOSE[name]
    backend.answers(*sent, close=name in UNTIL_CLOSE)
    head, body = REQUESTS["plain"]
    direct, through = [await exchange(url, head, body) for url in (backend.url, balancer.url)]
    assert_same_reply(direct, through, sent)
    assert len(backend.received) == 2


async def test_a_reply_to_head_keeps_its_length_and_has_no_body(backend: RawBackend, balancer: Balancer) -> None:
    backend.answers(reply(b"Content-Length: 1234", b"Content-Type: a/b"))
    head, _ = REQUESTS["HEAD"]
    direct, through = [await exchange(url, head) for url in (backend.url, balancer.url)]
    assert through.end_to_end(*EXPLANATION) == direct.end_to_end()
    assert through.all(b"content-length") == [b"1234"]


@pytest.mark.parametrize(
    "sent",
    [
        (reply(b"Content-Length: 10"), b"half"),
        (reply(CHUNKED), b"5\r\nhello\r\n"),
        (reply(CHUNKED, STREAM), chunks(EVENTS)[:-5]),
        (reply(CHUNKED), b"5\r\nhello\r\nzz\r\n"),
    ],
    ids=["length", "chunks", "stream", "not a chunk"],
)
async def test_a_cut_stays_a_cut(sent: tuple[bytes, ...], backend: RawBackend, balancer: Balancer) -> None:
    backend.answers(*sent, close=True)
    through = await exchange(balancer.url, *REQUESTS["plain"])
    assert through.status == 200
    assert not through.whole
    await balancer.line(lambda line: line["event"].startswith("Response cut by `BACKEND_1`"))


async def test_without_explanation_nothing_is_added(backend: RawBackend) -> None:
    async with hasty(BACKEND_1_URL=backend.url, BACKEND_1_APIKEY="k", LB_EXPLAIN="false") as silent:
        backend.answers(*REPLIES["cookies stay apart"])
        direct, through = [await exchange(url, *REQUESTS["plain"]) for url in (backend.url, silent.url)]
        assert through.fields == direct.fields
        refused = await exchange(silent.url, *sized(b"/openai/deployments/a%2Fb/chat/completions", b"{}"))
        assert refused.status == 400
        assert not [name for name, _ in refused.fields if name.startswith(b"x-lb-")]
