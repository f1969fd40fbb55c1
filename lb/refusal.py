"""What we say to a client whose request no backend shall see, and what we know of it when we say so."""

import json
from dataclasses import dataclass
from typing import Protocol

from lb.exchange import Headers


class Head(Protocol):
    """A request's head, complete and valid, before its body is read. The only place that holds the client's secrets."""

    method: str
    target: bytes
    """Origin-form path and query as received, a key in the query included: not for logs."""
    fields: dict[bytes, bytes]
    """First values by lower-case name, of the fields that decide something here (see `lb.wire.headers`)."""
    api_key: bytes | None
    """The `api-key` field."""
    bearer: bytes | None
    """What follows `Authorization: Bearer `."""
    query_key: bytes | None
    """`?api-key=` or `?Authorization=Bearer `, percent-decoded."""
    protocol_key: bytes | None
    """The key among the subprotocols of a WebSocket."""
    peer: str
    """The address the connection came from."""
    known: tuple[object, str] | None
    """Whose client key is in it, and among which keys that was found; of nobody else's."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final answer that we give instead of a backend."""

    status: int
    code: str
    message: str
    headers: Headers = ()
    param: str | None = None
    """What of the request it is about, where the answer stands in for a backend's own."""

    @property
    def body(self) -> bytes:
        """The answer's JSON body."""
        if self.param is None:
            return error_body(self.code, self.message)
        error = {"message": self.message, "type": "invalid_request_error", "param": self.param, "code": self.code}
        return json.dumps({"error": error}, separators=(",", ":")).encode()


def error_body(code: str, message: str) -> bytes:
    """An error in the shape that Azure OpenAI uses, which is where its SDKs look for `code` and `message`."""
    return json.dumps({"error": {"code": code, "message": message}}, separators=(",", ":")).encode()
