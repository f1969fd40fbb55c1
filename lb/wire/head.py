"""A request's head: which of its fields go on, who says that he sent it, and where its body ends."""

import re
from dataclasses import dataclass

from lb.exchange import Handshake, render
from lb.wire.headers import CONNECTION, COOKIES, DROP, LIST, NOTE, REQUEST_RULES, SESSION, SINGLE, Rule, named_by
from lb.wire.malformed import NO_LENGTH, TWICE_FRAMED, malformed, unknown_coding

_HOST = re.compile(rb"(?:[0-9A-Za-z._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

_BY_VALUE = CONNECTION | COOKIES


@dataclass(slots=True, repr=False)
class Head:
    """A checked request head: `lb.refusal.Head` for the gateway, and what this side needs of it. It is full of secrets,
    so that no message may show it."""

    method: str
    target: bytes
    """As received: a key in the query included."""
    safe_target: bytes
    """Without it."""
    modern: bool
    """HTTP/1.1, else 1.0."""
    peer: str
    forwarded: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]
    length: int | None = None
    chunked: bool = False
    expects: bool = False
    """The client waits for `100 Continue` before it sends the body."""
    keep: bool = True
    """The client lets the connection live on."""
    api_key: bytes | None = None
    bearer: bytes | None = None
    query_key: bytes | None = None
    protocol_key: bytes | None = None
    """The key among a WebSocket's subprotocols."""
    upgrades: bool = False
    """The Connection field names Upgrade."""
    handshake: Handshake | None = None
    """The client asks for a WebSocket."""
    known: tuple[object, str] | None = None
    """See `lb.refusal.Head`."""

    _rendered: bytes = b""

    def rendered(self) -> bytes:
        """The fields that go on, as they stand on the wire."""
        if not self._rendered:
            self._rendered = render(self.forwarded)
        return self._rendered

    @property
    def bodied(self) -> bool:
        """Will a body follow?"""
        return self.chunked or bool(self.length)


class Fields:
    """What llhttp calls back for each field: tells those that go on from those that decide something or end here."""

    __slots__ = ("forwarded", "special")

    def __init__(self) -> None:
        self.forwarded: list[tuple[bytes, bytes]] = []
        self.special: list[tuple[Rule, bytes]] = []

    def begin(self) -> list[tuple[bytes, bytes]]:
        """Start anew; the list that is returned will hold what goes on."""
        self.special = []
        self.forwarded = []
        return self.forwarded

    def on_header(self, name: bytes, value: bytes) -> None:
        rule = REQUEST_RULES[name]
        if rule is None:
            self.forwarded.append((name, value))
            return
        self.special.append((rule, value))
        bits = rule[1]
        if not bits & DROP or (bits & _BY_VALUE and _passes(bits, value)):
            self.forwarded.append((name, value))


def _passes(bits: int, value: bytes) -> bool:
    """`Connection: keep-alive` is as true towards the backend, which shall receive what it would receive directly."""
    return SESSION not in value if bits & COOKIES else value.lower() == b"keep-alive"


def heed_fields(head: Head, special: list[tuple[Rule, bytes]]) -> None:
    """Note what decides something, and drop what is for this hop only. Raises `Malformed`."""
    fields = head.fields
    connection: list[bytes] = []
    for (name, bits), value in special:
        if bits & NOTE:
            if name not in fields:
                fields[name] = value.strip(b" \t")  # llhttp leaves what follows a value
            else:
                _repeat(fields, name, bits, value)
        elif bits & CONNECTION:
            connection.append(value)
    head.keep = head.modern
    if connection:
        _heed_connection(head, connection)
    head.api_key = fields.get(b"api-key")
    authorization = fields.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        head.bearer = authorization[7:].lstrip(b" ")


def _repeat(fields: dict[bytes, bytes], name: bytes, bits: int, value: bytes) -> None:
    """The field has come before. Raises `Malformed`."""
    if bits & SINGLE:
        raise malformed(f"The field {name.decode()} must come once only.")
    if bits & LIST:
        fields[name] += b", " + value.strip(b" \t")


def _heed_connection(head: Head, connection: list[bytes]) -> None:
    if len(connection) == 1 and connection[0].lower() == b"keep-alive":
        head.keep = True
        return
    named = named_by(connection)
    head.keep = b"close" not in named and (head.modern or b"keep-alive" in named)
    head.upgrades = b"upgrade" in named
    named = (named - {b"close", b"keep-alive"}) | {b"connection"}
    head.forwarded = [pair for pair in head.forwarded if pair[0].lower() not in named]
    for name in (b"content-type", b"content-encoding"):
        if name in named:
            head.fields.pop(name, None)


def check_framing(head: Head) -> None:
    """Set where the body ends. Raises `Malformed` where that, or the host, can be read in two ways."""
    fields = head.fields
    host = fields.get(b"host")
    if host is None and head.modern:
        raise malformed("The Host field is missing.")
    if host is not None and _HOST.fullmatch(host) is None:
        raise malformed("The Host field is not a host name.")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        _check_coding(head, coding)
    length = fields.get(b"content-length")
    if length is not None:
        if not length.isdigit() or len(length) > 18:
            raise malformed(NO_LENGTH)
        head.length = int(length)
    expect = fields.get(b"expect")
    if expect is not None and head.modern:  # RFC 9110 section 10.1.1: not in HTTP/1.0
        if expect.lower() != b"100-continue":
            raise malformed("The Expect field asks for something unknown.", 417, "ExpectationFailed")
        head.expects = head.bodied


def _check_coding(head: Head, coding: bytes) -> None:
    """RFC 9112 section 6.1: what contradicts itself is an attack."""
    if not head.modern:
        raise malformed("Transfer-Encoding does not exist in HTTP/1.0.")
    if b"content-length" in head.fields:
        raise malformed(TWICE_FRAMED)
    if coding.lower() != b"chunked":
        raise unknown_coding()
    head.chunked = True
