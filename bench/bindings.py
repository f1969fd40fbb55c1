"""What affinity costs a request and a reply, in microseconds: the best of many runs, without sockets.

python -m bench.bindings
"""

import json
import timeit
from collections.abc import Callable

from lb.balancing.affinity import Affinity
from lb.balancing.backend import Backend
from lb.balancing.pins import Pins, size_of
from lb.balancing.routing import Route, route
from lb.events import Event, Finished, Outcome
from lb.exchange import Request
from lb.spine.binding import Bindings
from lb.spine.learner import Learner

CHAT = b"/openai/deployments/chat/chat/completions?api-version=2024-10-21"
RESPONSES = b"/openai/v1/responses"
OVER = Finished("r", "POST", None, Outcome.RELAYED, 200, 1, 0.1)
BACKENDS = [Backend(name, f"https://{name}.example") for name in ("a", "b", "c")]


class Head:
    """As much of a reply as is looked at before its body."""

    status = 200

    def __init__(self, kind: bytes) -> None:
        self._kind = kind

    def get(self, name: bytes) -> bytes | None:
        """One field."""
        return self._kind if name == b"content-type" else None


def bindings() -> Bindings:
    """With room for as much as by default."""
    return Bindings(Affinity(Pins(bytearray(size_of(100_000))), BACKENDS), _ignore)


def _ignore(event: Event) -> None: ...


def agent(items: int) -> dict[str, object]:
    """What an agent sends that keeps its own history: half of it encrypted reasoning."""
    sealed = [
        {"type": "reasoning", "id": f"rs_{n:032x}", "encrypted_content": f"gAAAA{n:032x}" * 80} for n in range(items)
    ]
    said = [{"type": "message", "id": f"msg_{n:032x}", "content": [{"text": "word " * 200}]} for n in range(items)]
    return {"model": "chat", "store": False, "input": [*sealed, *said]}


def best(what: Callable[[], object], number: int) -> float:
    """Microseconds."""
    return min(timeit.repeat(what, number=number, repeat=30)) / number * 1e6


def request_costs(target: bytes, body: dict[str, object]) -> float:
    """Finding out where it goes, and whether its reply is watched."""
    text = json.dumps(body).encode()
    bound, head = bindings(), Head(b"application/json")
    asked = Request("r", "POST", target, (), text, content_type=b"application/json")
    found: Route = route("POST", target, b"application/json", b"", text)

    def one() -> None:
        bound.bind(asked, found)
        bound.watch(asked, found, head)  # type: ignore[arg-type]

    return best(one, max(1, 200_000 // len(text)))


def reply_costs(kind: bytes, pieces: list[bytes]) -> float:
    """Reading along, from the first piece to the last."""
    affinity = bindings().affinity
    assert affinity is not None

    def one() -> None:
        learner = Learner(affinity, "a", "ada", Head(kind))  # type: ignore[arg-type]
        for piece in pieces:
            learner.data(piece)
        learner.end(OVER)

    return best(one, 50)


def main() -> None:
    """A table in Markdown."""
    chat = {"model": "chat", "messages": [{"role": "user", "content": "word " * 180}]}
    plain = {"model": "chat", "input": "word " * 180}
    event = b'event: response.output_text.delta\ndata: {"item_id":"msg_1","delta":"%b","sequence_number":1}\n\n'
    response = json.dumps({"id": "resp_1234567", "output": [{"id": "msg_1234567", "content": [{"text": "w " * 400}]}]})
    rows = [
        ("chat request, 1 KB", request_costs(CHAT, chat)),
        ("the same with a `prompt_cache_key`", request_costs(CHAT, {**chat, "prompt_cache_key": "a"})),
        ("response request that names nothing, 1 KB", request_costs(RESPONSES, plain)),
        (
            "the same with a `previous_response_id`",
            request_costs(RESPONSES, {**plain, "previous_response_id": "resp_1234567"}),
        ),
        ("an agent's history of 200 items, 350 KB", request_costs(RESPONSES, agent(100))),
        ("JSON reply of a response, 1 KB", reply_costs(b"application/json", [response.encode()])),
        (
            "event of a response's stream, 120 bytes",
            reply_costs(b"text/event-stream", [event % (b"x" * 30)] * 100) / 100,
        ),
    ]
    print("| | µs |")
    print("|---|---|")
    for name, cost in rows:
        print(f"| {name} | {cost:.1f} |")


if __name__ == "__main__":
    main()
