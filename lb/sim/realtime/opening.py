"""What does a WebSocket's handshake ask for? Pure: a request in, an opening out."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs

from lb.sim.decision import Asked


@dataclass(frozen=True, slots=True)
class Opening:
    """A handshake, understood."""

    operation: Literal["realtime", "responses"]
    deployment: str = ""
    """Empty where the messages name it."""
    preview: bool = False
    """The event names are those of the preview."""
    api_version: str = ""


def is_handshake(asked: Asked) -> bool:
    """Does the request ask for a WebSocket?"""
    return asked.method == "GET" and asked.headers.get("Upgrade", "").lower() == "websocket"


def find_opening(target: str) -> Opening | None:
    """None where Azure knows no WebSocket.

    Realtime is `/openai/v1/realtime?model=` (GA) or `/openai/realtime?api-version=&deployment=` (preview), as Azure's
    document on Realtime over WebSockets has it; for the Responses API it is `/openai/v1/responses`, and its messages
    name the model.
    """
    path, _, query = target.partition("?")
    said = {name: values[0] for name, values in parse_qs(query).items()}
    version = said.get("api-version", "")
    match path.strip("/"):
        case "openai/v1/realtime" if said.get("model"):
            return Opening("realtime", said["model"], api_version=version)
        case "openai/realtime" if version and said.get("deployment"):
            return Opening("realtime", said["deployment"], True, version)
        case "openai/v1/responses":
            return Opening("responses", api_version=version)
        case _:
            return None


def key_of(target: str) -> str:
    """The credential in the query, which Realtime allows."""
    return parse_qs(target.partition("?")[2]).get("api-key", [""])[0]
