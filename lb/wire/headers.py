"""Which header fields pass the proxy and which end here, both ways.

Fields are told apart once per spelling: the verdict is remembered, since clients repeat theirs.
"""

from collections.abc import Iterable
from http import HTTPStatus

from lb.exchange import Headers

NOTE = 1
"""The field's first value is needed here."""
DROP = 2
"""The field ends here."""
SINGLE = 4
"""The field may come only once: two would be read differently behind us."""
CONNECTION = 8
"""It is the Connection field, which names others."""

# RFC 9110 section 7.6.1, with Proxy-* by custom. Trailers are not passed on, so neither is their announcement.
_HOP_BY_HOP = (
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"upgrade",
)
_CREDENTIALS = (b"x-api-key", b"ocp-apim-subscription-key")
# Azure documents 431 beyond ten fields that it does not know, so what proxies in front of us add stays here. The names
# are those of Envoy, of Azure Container Apps around it, of Azure's built-in authentication, and of App Service.
_PROXIES = (b"forwarded", b"x-real-ip", b"x-original-forwarded-for", b"x-arr-ssl", b"x-arr-log-id", b"client-ip")
_PROXIES_PREFIXES = (
    b"x-forwarded-",
    b"x-envoy-",
    b"x-k8se-",
    b"x-ms-containerapp-",
    b"x-ms-token-",
    b"x-ms-client-principal",
    # A handshake without its Upgrade is none, and Sec-WebSocket-Protocol may hold a key.
    b"sec-websocket-",
)

_REQUEST_RULES: dict[bytes, int] = {
    **dict.fromkeys((*_HOP_BY_HOP, *_CREDENTIALS, *_PROXIES), DROP),
    b"host": NOTE | DROP | SINGLE,
    b"content-length": NOTE | DROP | SINGLE,
    b"transfer-encoding": NOTE | DROP | SINGLE,
    b"expect": NOTE | DROP | SINGLE,
    b"connection": CONNECTION | DROP,
    b"api-key": NOTE | DROP,
    b"authorization": NOTE | DROP,
    b"content-type": NOTE | SINGLE,
    b"content-encoding": NOTE,
    b"x-request-id": NOTE,
    b"x-ms-client-request-id": NOTE,
}
_REPLY_DROPPED = frozenset((*_HOP_BY_HOP, b"connection", b"transfer-encoding"))

_REMEMBERED_MAX = 4096
_requests: dict[bytes, tuple[bytes, int]] = {}
_replies: dict[bytes, bytes] = {}


def request_rule(name: bytes) -> tuple[bytes, int]:
    """A request field's lower-case name, and NOTE, DROP and SINGLE as they apply to it."""
    known = _requests.get(name)
    return known if known is not None else _learn_request(name)


def _learn_request(name: bytes) -> tuple[bytes, int]:
    lower = name.lower()
    rule = _REQUEST_RULES.get(lower)
    if rule is None:
        rule = DROP if lower.startswith(_PROXIES_PREFIXES) else 0
    if len(_requests) < _REMEMBERED_MAX and len(name) <= 64:
        _requests[name] = lower, rule
    return lower, rule


def named_by(connection: Iterable[bytes]) -> set[bytes]:
    """The lower-case names that Connection fields list: these fields are for this hop only."""
    return {name.strip(b" \t").lower() for value in connection for name in value.split(b",")} - {b""}


_STATUS_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


def own_head(status: int, headers: Headers, length: int, connection: bytes) -> bytes:
    """The head of a reply of our own; `connection` is a rendered field or nothing."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status  # type: ignore[call-overload]
    fields = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return b"%b%bContent-Length: %d\r\n%b\r\n" % (line, fields, length, connection)


def reply_head(status: int, reason: bytes, headers: Headers, sized: bool, tail: bytes) -> bytes:
    """A backend's reply head as the client gets it: its fields in their order and spelling, less hop-by-hop ones.

    Its Content-Length goes on where `sized`. `tail` is what we add, rendered: framing, Connection, our own fields.
    """
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    connection: list[bytes] = []
    for pair in headers:
        name = _replies.get(pair[0]) or _learn_reply(pair[0])
        if name in _REPLY_DROPPED:
            if name == b"connection":
                connection.append(pair[1])
            continue
        if name == b"content-length":
            if not sized:
                continue
            sized = False  # once: a backend may have sent it twice with one value
        parts.append(b"%b: %b\r\n" % pair)
    if connection and (named := named_by(connection) - {b"close", b"keep-alive", b"content-length"}):
        parts[1:] = [part for part in parts[1:] if part[: part.index(b":")].lower() not in named]
    parts.append(tail)
    return b"".join(parts)


def _learn_reply(name: bytes) -> bytes:
    lower = name.lower()
    if len(_replies) < _REMEMBERED_MAX and len(name) <= 64:
        _replies[name] = lower
    return lower
