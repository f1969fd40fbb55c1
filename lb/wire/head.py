"""A request's head: which of its fields go on, who says that he sent it, and where its body ends."""

import re
from dataclasses import dataclass

from lb.exchange import Headers
from lb.wire.headers import CONNECTION, DROP, NOTE, SINGLE, named_by, request_rule
from lb.wire.malformed import malformed

_HOST = re.compile(rb"(?:[0-9A-Za-z._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(slots=True)
class Head:
    """A checked request head: `lb.refusal.Head` for the gateway, and what this side needs of it."""

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

    @property
    def bodied(self) -> bool:
        """Will a body follow?"""
        return self.chunked or bool(self.length)


def sort_fields(head: Head, received: Headers) -> None:
    """Tell the fields that go on from those that end here, and note what is needed of them."""
    fields, forwarded = head.fields, head.forwarded
    connection: list[bytes] = []
    for pair in received:
        name, rule = request_rule(pair[0])
        if rule & NOTE:
            _note(fields, name, pair[1], rule)
        elif rule & CONNECTION:
            connection.append(pair[1])
            if pair[1].lower() == b"keep-alive":
                # As true towards the backend, which shall receive what it would receive directly.
                forwarded.append(pair)
        if not rule & DROP:
            forwarded.append(pair)
    head.keep = head.modern
    if connection:
        _heed_connection(head, connection)
    head.api_key = fields.get(b"api-key")
    authorization = fields.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        head.bearer = authorization[7:].lstrip(b" ")


def _note(fields: dict[bytes, bytes], name: bytes, value: bytes, rule: int) -> None:
    if name not in fields:
        fields[name] = value.strip(b" \t")  # llhttp leaves what follows a value
    elif rule & SINGLE:
        raise malformed(f"The field {name.decode()} must come once only.")


def _heed_connection(head: Head, connection: list[bytes]) -> None:
    if len(connection) == 1 and connection[0].lower() == b"keep-alive":
        head.keep = True
        return
    named = named_by(connection)
    head.keep = b"close" not in named and (head.modern or b"keep-alive" in named)
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
            raise malformed("The Content-Length field is not a length.")
        head.length = int(length)
    expect = fields.get(b"expect")
    if expect is not None and head.modern:  # RFC 9110 section 10.1.1: not in HTTP/1.0
        if expect.lower() != b"100-continue":
            raise malformed("The Expect field asks for something unknown.", 417, "ExpectationFailed")
        head.expects = head.bodied


def _check_coding(head: Head, coding: bytes) -> None:
    """RFC 9112 section 6.1: what cannot be decoded is not implemented, what contradicts itself is an attack."""
    if not head.modern:
        raise malformed("Transfer-Encoding does not exist in HTTP/1.0.")
    if b"content-length" in head.fields:
        raise malformed("The request is framed twice, by Content-Length and by Transfer-Encoding.")
    if coding.lower() != b"chunked":
        raise malformed("This Transfer-Encoding is not supported, only chunked is.", 501, "NotImplemented")
    head.chunked = True
