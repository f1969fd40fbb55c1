"""What a reply cost, read from the `usage` object in which it says so."""

from collections.abc import Mapping
from typing import Any, NamedTuple

MOST = 2**53
"""A count beyond this is nonsense, and a float would no longer hold it exactly."""


class Usage(NamedTuple):
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
    Realtime say `input_tokens` and `output_tokens`, with `input_tokens_details` or `input_token_details`; Anthropic's
    Messages leave out of their `input_tokens` what was read from the cache or written to it.
    """
    if not isinstance(told, dict):
        return None
    get = told.get
    prompt, completion, total = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    if type(prompt) is type(completion) is type(total) is int:  # chat, and nearly all there is
        part_in, part_out = get("prompt_tokens_details"), get("completion_tokens_details")
        if part_in is part_out is None:  # of whole numbers none is negative or too large if their bits together are not
            return Usage(prompt, completion, total) if 0 <= prompt | completion | total < MOST else None
    elif get("type") == "duration":
        return _by_length(get("seconds"))
    else:
        prompt = _first(told, "prompt_tokens", "input_tokens")
        completion = _first(told, "completion_tokens", "output_tokens")
        part_in = _first(told, "prompt_tokens_details", "input_tokens_details", "input_token_details")
        part_out = _first(told, "completion_tokens_details", "output_tokens_details", "output_token_details")
    if prompt is completion is total is None:
        return None
    try:
        if "cache_read_input_tokens" in told or "cache_creation_input_tokens" in told:
            return _beside_the_cache(told)
        return _added_up(prompt, completion, total, part_in or _NOTHING, part_out or _NOTHING)
    except (TypeError, ValueError, AttributeError):
        return None


def _added_up(prompt: Any, completion: Any, total: Any, part_in: Any, part_out: Any) -> Usage:
    """Raises ValueError for what is no count, AttributeError for details that are no object."""
    ours, theirs = _count(prompt), _count(completion)
    all_ = ours + theirs if total is None else _count(total)
    if part_in is part_out is _NOTHING:
        return Usage(ours, theirs, all_)
    cached, audio_in = part_in.get("cached_tokens", 0), part_in.get("audio_tokens", 0)
    reasoning, audio_out = part_out.get("reasoning_tokens", 0), part_out.get("audio_tokens", 0)
    whole = type(cached) is type(reasoning) is type(audio_in) is type(audio_out) is int
    if not whole or not 0 <= cached | reasoning | audio_in | audio_out < MOST:
        cached, reasoning, audio_in, audio_out = map(_count, (cached, reasoning, audio_in, audio_out))
    return Usage(ours, theirs, all_, cached, reasoning, audio_in, audio_out)


def _beside_the_cache(told: Mapping[str, Any]) -> Usage:
    """Raises ValueError for what is no count."""
    cached, completion = _count(told.get("cache_read_input_tokens")), _count(told.get("output_tokens"))
    prompt = _count(told.get("input_tokens")) + _count(told.get("cache_creation_input_tokens")) + cached
    return Usage(prompt, completion, prompt + completion, cached)


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
    if type(value) is int and 0 <= value < MOST:
        return value
    if value is None:
        return 0
    if type(value) is float and value.is_integer() and 0 <= value < MOST:
        return int(value)
    raise ValueError("not a count")
