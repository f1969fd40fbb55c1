"""How a request looks on the wire toward a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lb.exchange import BodyStream, Request
from lb.wire.handshake import request_fields
from lb.wire.upload import BytesUpload, StreamUpload

if TYPE_CHECKING:
    from lb.wire.address import Address
    from lb.wire.connection import Connection

_AT_ONCE: Final = 64 * 1024
"""Bodies up to this many bytes go out in one write with their head."""
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"


def render_head(
    address: Address, credential: bytes, request: Request, target: bytes, body: bytes | BodyStream
) -> bytes:
    """Request line, `Host`, credential, the client's fields as they were, framing, blank line.

    Raises `ValueError` for a target that would not stay one word of the request line.
    """
    if target[:1] != b"/" or target.split(None, 1) != [target]:
        raise ValueError("a target begins with a slash and holds no white space")
    if not isinstance(body, bytes):
        framing = _CHUNKED if body.length is None else b"Content-Length: %d\r\n\r\n" % body.length
    elif request.chunked:
        framing = _CHUNKED
    elif request.handshake is not None:
        framing = request_fields(request.handshake) + b"\r\n"
    elif body or request.sized:
        framing = b"Content-Length: %d\r\n\r\n" % len(body)
    else:
        framing = b"\r\n"
    if target[:11].lower() == b"/anthropic/" and credential[:9] == b"api-key: ":
        credential += b"x-" + credential  # Anthropic's API reads a key there
    fields = request.fields if request.trace is None else request.trace.context + request.fields
    return b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b%b%b" % (
        request.method.encode("ascii"), address.prefix, target, address.authority, credential, fields, framing,
    )  # fmt: skip


def write(connection: Connection, head: bytes, body: bytes | BodyStream, chunked: bool) -> None:
    """Begin to send; what the socket does not take at once follows as it does. A buffered body that goes chunked is one
    chunk: how the client had cut it is not ours to keep (RFC 9112 section 7.1)."""
    if not isinstance(body, bytes):
        connection.transport.write(head)
        connection.upload = StreamUpload(connection, body)
        return
    if chunked:
        parts = [head, b"%x\r\n" % len(body), body, b"\r\n0\r\n\r\n"] if body else [head, b"0\r\n\r\n"]
    else:
        parts = [head, body]
    if len(body) <= _AT_ONCE:
        connection.transport.write(b"".join(parts))
        return
    connection.upload = upload = BytesUpload(connection, parts)
    upload.resume()
