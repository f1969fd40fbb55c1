"""How much the demo sends and how little its endpoints take, so that 429s come steadily and there is always room.

The pace is bounded by counts and gaps, never by luck with the clock: bursts of `BURST` requests, the first of each at
least `GAP` seconds after the last of the burst before, and at most `CONCURRENCY` under way at once. So within any
`WINDOW` an endpoint can meet no more than `MOST` requests, however the machine stutters, and the last endpoint takes
them all. The first two take far less.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

WINDOW = 2.0
"""Seconds that a "minute" of the endpoints' limits takes; a cooldown is at most as long."""
GAP = 0.2
BURST = 8
"""Requests that start together, as an application that fans out sends them."""
CONCURRENCY = 24
MOST = (math.ceil(WINDOW / GAP) + 2) * BURST + CONCURRENCY
"""Requests that may arrive at one endpoint within a window: those that start in it, and those under way before."""

REPLY_TOKENS = 20
CHAT_COST = 48
"""Tokens that a chat or response request is charged on arrival, at most."""
EMBEDDING_COST = 96

API_VERSION = "2024-10-21"
KEY = "demo"
"""The simulated endpoints take any key, and the balancer asks for none."""
CHAT = "chat"
EMBEDDING = "embedding"
QUIET = "quiet"
"""The deployment that latency is measured on: limits count per deployment, so nothing else is sent to it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One simulated endpoint; its number is its priority, too."""

    number: int
    tpm: int
    in_stream: bool = False
    """It tells a throttled stream so by an event, under status 200."""

    @property
    def name(self) -> str:
        return f"openai{self.number}"

    @property
    def backend(self) -> str:
        """What the balancer calls it."""
        return f"BACKEND_{self.number}"

    def arguments(self) -> list[str]:
        """For `lb sim`. Delays strike only the busy deployments, so that the quiet one shows the bare relay."""
        told = [
            "sim", f"--name={self.name}", f"--tpm={self.tpm}", f"--window={WINDOW:g}", f"--seed={self.number}",
            f"--reply-tokens={REPLY_TOKENS}", "--token-delay=0.004-0.012",
            f"--fault={CHAT}=slow-head:0.06", f"--fault={CHAT}=slow-head:0.12@0.3",
            f"--fault={EMBEDDING}=slow-head:0.03",
        ]  # fmt: skip
        return [*told, "--throttle-in-stream"] if self.in_stream else told


ENDPOINTS = (
    Endpoint(1, tpm=18 * CHAT_COST),
    Endpoint(2, tpm=24 * CHAT_COST, in_stream=True),
    Endpoint(3, tpm=MOST * max(CHAT_COST, EMBEDDING_COST)),
)
NAMES = {endpoint.backend: endpoint.name for endpoint in ENDPOINTS}

KINDS = (
    "chat",
    "streamed chat",
    "embeddings",
    "chat on v1",
    "streamed chat",
    "chat",
    "response on v1",
    "streamed chat",
    "embeddings",
    "streamed response on v1",
)
"""What is sent, in this order, again and again."""

_SYSTEM = "Answer in one sentence."
_QUESTIONS = (
    "Why does an endpoint that is busy say when to come back?",
    "Which of these three endpoints has room for us just now?",
    "How long is a minute for somebody who waits for tokens?",
    "What becomes of a stream when its endpoint is throttled?",
    "Who notices that a request was sent to a second endpoint?",
)
_PASSAGE = "A reverse proxy puts one address in front of several endpoints and sends each request where there is room. "


def messages(number: int) -> list[dict[str, str]]:
    """The prompt of request `number`."""
    question = f"{number}: {_QUESTIONS[number % len(_QUESTIONS)]}"
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}]


def passages(number: int) -> list[str]:
    """What request `number` wants embedded."""
    return [f"{number}.{part} {_PASSAGE}"[:96] for part in range(4)]


def kinds() -> Iterator[str]:
    """One kind after the other, without end."""
    while True:
        yield from KINDS
