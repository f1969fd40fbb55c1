"""What a reply cost, read from the `usage` object in which it says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST = 2**53
"""A count beyond this is nonsense, and a float would no longer hold it exactly."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply. `cached` and `audio_in` are part of `prompt`, `reasoning` and `audio_out` of `completion`.

    An `unknown` usage is all zeros that mean nothing: it is to be counted as a reply, never as zero tokens.
    """

    prompt: int = 0
    completion: int = 0
    total: int = 0
    cached: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    audio_seconds: float = 0.0
    """What is billed by its length has no tokens (whisper)."""
    estimated: bool = False
    """Counted here, since the backend did not say."""
    unknown: bool = False


UNKNOWN = Usage(unknown=True)
_NOTHING: Mapping[str, Any] = {}


def read_usage(told: object) -> Usage | None:
    """A `usage` object of any of the APIs; None when it is null, empty, or has a count that no count can be.

    Chat, completions and embeddings say `prompt_tokens` and `completion_tokens`; responses, images, transcriptions and
    Realtime say `input_tokens` and `output_tokens`, with `input_tokens_details` or `input_token_details`.
    """
    if not isinstance(told, dict):
        return None
    if told.get("type") == "duration":
        return _by_length(told.get("seconds"))
    prompt = _first(told, "prompt_tokens", "input_tokens")
    completion = _first(told, "completion_tokens", "output_tokens")
    total = told.get("total_tokens")
    if prompt is completion is total is None:
        return None
    part_in = _first(told, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    part_out = _first(told, "completion_tokens_details", "output_tokens_details", "output_token_details")
    try:
        return _added_up(prompt, completion, total, part_in or _NOTHING, part_out or _NOTHING)
    except (TypeError, ValueError, AttributeError):
        return None


def _added_up(prompt: Any, completion: Any, total: Any, part_in: Any, part_out: Any) -> Usage:
    """Raises ValueError for what is no count, AttributeError for details that are no object."""
    ours, theirs = _count(prompt), _count(completion)
    return Usage(
        prompt=ours,
        completion=theirs,
        total=ours + theirs if total is None else _count(total),
        cached=_count(part_in.get("cached_tokens")),
        reasoning=_count(part_out.get("reasoning_tokens")),
        audio_in=_count(part_in.get("audio_tokens")),
        audio_out=_count(part_out.get("audio_tokens")),
    )


def _by_length(seconds: object) -> Usage | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < MOST:
        return None
    return Usage(audio_seconds=float(seconds))


def _first(told: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        value = told.get(name)
        if value is not None:
            return value
    return None


def _count(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not 0 <= value < MOST:
        raise ValueError("not a count")
    return value
