"""Makes the `Request` that goes to the gateway out of a checked head and a body."""

import itertools
import re
import secrets

from lb.exchange import BodyStream, Request
from lb.wire.head import Head

_SAFE_ID = re.compile(rb"[0-9A-Za-z._~:/+=@,;|#-]{1,128}")
"""What goes into log lines and header fields as it stands."""


class RequestIds:
    """Ids for requests that bring none: a random word for the listener, and a count."""

    __slots__ = ("_count", "_word")

    def __init__(self) -> None:
        self._word = secrets.token_hex(6)
        self._count = itertools.count(1)

    def of(self, fields: dict[bytes, bytes]) -> str:
        """The client's own id where it is short and printable, else a new one."""
        for name in (b"x-request-id", b"x-ms-client-request-id"):
            own = fields.get(name)
            if own is not None and _SAFE_ID.fullmatch(own):
                return own.decode()
        return f"{self._word}-{next(self._count):x}"


def build_request(head: Head, body: bytes | BodyStream, caller: str | None, ids: RequestIds) -> Request:
    """The request as it is to be sent on."""
    fields = head.fields
    return Request(
        ids.of(fields),
        head.method,
        head.safe_target,
        head.forwarded,
        body,
        head.chunked,
        head.length is not None,
        fields.get(b"content-type", b""),
        fields.get(b"content-encoding", b""),
        caller,
        head.peer,
        fields.get(b"x-forwarded-for", b""),
        fields=head.rendered(),
        handshake=head.handshake,
    )
