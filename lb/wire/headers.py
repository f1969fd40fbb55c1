"""Which header fields pass the proxy and which end here, both ways.

A field is told by its name in any spelling. What was found is remembered by spelling, since all repeat theirs.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from lb.exchange import Headers, Reply

NOTE: Final = 1
"""The field's first value is needed here."""
DROP: Final = 2
"""The field ends here."""
SINGLE: Final = 4
"""The field may come only once: two would be read differently behind us."""
CONNECTION: Final = 8
"""It is the Connection field, which names others."""
LIST: Final = 32
"""The field may come several times, and then is one list (RFC 9110 section 5.3)."""
COOKIES: Final = 64
"""It is the Cookie field, which ends here where it holds an operator's session."""
SESSION: Final = b"lb_session="
"""A browser sends a host's cookies to all of its ports (RFC 6265 section 8.5), so also to the port for traffic."""
LENGTH: Final = 16
"""It is Content-Length, which goes on only once and where it is meant."""

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
    # Those of a WebSocket's handshake are written anew: Sec-WebSocket-Protocol may hold a key.
    b"sec-websocket-",
)

Rule = tuple[bytes, int]
"""A field's lower-case name and what applies to it."""


class _Rules(dict[bytes, Rule | None]):
    """By spelling; None for a field that just passes, as most do. What is not there yet is looked up and remembered."""

    def __init__(self, known: dict[bytes, int], dropped_prefixes: tuple[bytes, ...] = ()) -> None:
        super().__init__()
        self.known = known
        self._dropped_prefixes = dropped_prefixes

    def __missing__(self, name: bytes) -> Rule | None:
        lower = name.lower()
        bits = self.known.get(lower, DROP if lower.startswith(self._dropped_prefixes) else 0)
        rule = (lower, bits) if bits else None
        if len(name) <= 64:
            if len(self) >= 4096:
                self.clear()
            self[name] = rule
        return rule


REQUEST_RULES: Final = _Rules(
    {
        **dict.fromkeys((*_HOP_BY_HOP, *_CREDENTIALS, *_PROXIES), DROP),
        b"host": NOTE | DROP | SINGLE,
        b"content-length": NOTE | DROP | SINGLE,
        b"transfer-encoding": NOTE | DROP | SINGLE,
        b"expect": NOTE | DROP | SINGLE,
        b"connection": CONNECTION | DROP,
        b"cookie": COOKIES | DROP,
        b"api-key": NOTE | DROP,
        b"authorization": NOTE | DROP,
        b"content-type": NOTE | SINGLE,
        b"content-encoding": NOTE,
        b"upgrade": NOTE | DROP | LIST,
        b"sec-websocket-protocol": NOTE | DROP | LIST,
        b"sec-websocket-key": NOTE | DROP | SINGLE,
        b"sec-websocket-version": NOTE | DROP | SINGLE,
        b"x-request-id": NOTE,
        b"x-ms-client-request-id": NOTE,
        b"x-forwarded-for": NOTE | DROP,
    },
    _PROXIES_PREFIXES,
)
REPLY_RULES: Final = _Rules(
    {
        **dict.fromkeys((*_HOP_BY_HOP, b"transfer-encoding"), DROP),
        b"connection": CONNECTION | DROP,
        b"content-length": LENGTH,
    }
)


def named_by(connection: Iterable[bytes]) -> set[bytes]:
    """The lower-case names that Connection fields list: these fields are for this hop only."""
    return {name.strip(b" \t").lower() for value in connection for name in value.split(b",")} - {b""}


_STATUS_LINES = {int(status): b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in HTTPStatus}


def phrase(status: int) -> bytes:
    """What the standard calls it."""
    return _STATUS_LINES.get(status, b"")[len("HTTP/1.1 100 ") :]


def own_head(status: int, headers: Headers, length: int, connection: bytes) -> bytes:
    """The head of a reply of our own; `connection` is a rendered field or nothing."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status
    fields = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return b"%b\r\n%bContent-Length: %d\r\n%b\r\n" % (line, fields, length, connection)


def reply_head(reply: Reply, sized: bool, tail: bytes) -> bytes:
    """A backend's reply head as the client gets it: its fields in their order and spelling, less hop-by-hop ones.

    Its Content-Length goes on where `sized`. `tail` is what we add, rendered: our own fields, framing, Connection.
    """
    if sized and reply.raw:
        return reply.raw[:-2] + tail  # everything goes on, as nearly always: 0.2 us instead of 3.5
    return filtered_head(reply.status, reply.reason, reply.headers, sized, tail)


def filtered_head(status: int, reason: bytes, headers: Headers, sized: bool, tail: bytes) -> bytes:
    """The same, field by field."""
    lines = [b"HTTP/1.1 %d %b" % (status, reason)]
    connection: list[bytes] = []
    rules = REPLY_RULES
    for pair in headers:
        rule = rules[pair[0]]
        if rule is None:
            lines.append(b": ".join(pair))
        elif rule[1] & LENGTH and sized:
            lines.append(b": ".join(pair))
            sized = False  # once: a backend may have sent it twice with one value
        elif rule[1] & CONNECTION:
            connection.append(pair[1])
    if connection and connection != [b"keep-alive"]:
        named = named_by(connection) - {b"close", b"keep-alive", b"content-length"}
        lines[1:] = [line for line in lines[1:] if line[: line.index(b":")].lower() not in named]
    lines.append(tail)
    return b"\r\n".join(lines)
