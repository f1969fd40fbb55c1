"""What a simulated endpoint is told before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """A duration in seconds that is drawn anew each time, evenly between `low` and `high`."""

    low: float = 0.0
    high: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Read `0.2` or `0.1-0.5` (seconds). Raises ValueError in words that an operator understands."""
        first, dash, second = text.strip().partition("-")
        try:
            low = float(first)
            high = float(second) if dash else low
        except ValueError:
            raise ValueError(f"{text!r} is not a duration: write seconds, like 0.2, or a range, like 0.1-0.5") from None
        if not 0 <= low <= high < float("inf"):
            raise ValueError(f"{text!r} is not a duration: it must not be negative, and the smaller number comes first")
        return cls(low, high)


@dataclass(frozen=True, slots=True)
class Limit:
    """What one deployment may take per minute; None is without a limit."""

    tpm: int | None = None
    rpm: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """One endpoint. Everything random in it follows from `seed` and the order of requests."""

    name: str = "openai1"
    tpm: int | None = None
    """Tokens per minute of each deployment."""
    rpm: int | None = None
    """Requests per minute of each deployment, enforced over slices of 1 s and 10 s, too."""
    object_rpm: int | None = None
    """Requests per minute of all operations on stored objects together; they name no deployment."""
    limits: Mapping[str, Limit] = field(default_factory=dict)
    """Deployments with limits of their own."""
    window_seconds: float = 60.0
    """How long a "minute" is: Azure's limits reset each minute, a short demo wants them sooner."""
    refused_count: bool = True
    """Requests refused by a limit still count as requests, as Azure documents it."""
    throttle_in_stream: bool = False
    """Answer a throttled `stream: true` call with 200 and an error event, as newer models do."""
    deployments: tuple[str, ...] = ()
    """The deployments that exist; empty: every name does."""
    keys: tuple[str, ...] = ()
    """Credentials that are let in, as `api-key` or as bearer token; empty: everybody is."""
    cache_seconds: float = 300.0
    """How long the prefix of a prompt stays cached after its last use; 0: nothing is cached."""
    latency: Span = Span()
    """Until the reply's head."""
    token_delay: Span = Span()
    """Between two events of a stream."""
    faults: tuple[str, ...] = ()
    """Faults from the start on, see `faults.Rule.parse`."""
    seed: int = 1
    region: str = "eastus2"
    model: str = "gpt-5.4-mini-2026-03-17"
    """The model that replies name."""
    reply_tokens: int = 16
    """Length of an answer, unless the request wants it shorter."""
    embedding_size: int = 1536
    keep_requests: int = 500
    """How many received requests are kept to be looked at."""
    keep_bytes: int = 16 * 1024 * 1024
    """How many bytes of their bodies are kept together."""
    object_bytes: int = 64 * 1024 * 1024
    """How many bytes the stored objects may weigh together; the oldest make room."""
