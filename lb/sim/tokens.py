"""How many tokens is this? A rough, deterministic measure: four characters are one token.

Azure's limits use the same kind of estimate ("prompt text and count, max_tokens, best_of"), so that one function serves
both; what a reply reports as used is exact in the simulator's own terms.
"""

from collections.abc import Iterator, Mapping
from typing import Any

PROMPT_KEYS = ("instructions", "messages", "prompt", "input")
"""Where a request's prompt stands, in the order in which a model reads it."""
TEXT_KEYS = ("content", "text", "arguments", "output", "input")
UNSAID_MAX_TOKENS = 16
"""What a request without a limit of its own is taken to ask for, when its cost is estimated."""

_SENTENCE = (
    "Each request finds the endpoint that has room and the client never learns which one of them it was because all "
    "of them speak alike and a busy one says when to come back"
)
WORDS = _SENTENCE.split()


def characters(value: Any) -> int:
    """The length of all text in a prompt, a list of messages or a list of input items; a token id counts as four."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, int):
        return 4
    if isinstance(value, list):
        return sum(map(characters, value))
    if isinstance(value, dict):
        return sum(characters(value[key]) for key in TEXT_KEYS if key in value)
    return 0


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """What a request's prompt costs, whichever operation it belongs to."""
    parts = [body[key] for key in PROMPT_KEYS if key in body]
    return max(1, -(-sum(map(characters, parts)) // 4))


def texts(body: Mapping[str, Any]) -> Iterator[str]:
    """The text of a request's prompt in order: what `prompt_tokens` counts."""
    for key in PROMPT_KEYS:
        if key in body:
            yield from _texts(body[key])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int):
        yield f"{value:4}"[-4:]
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        for key in TEXT_KEYS:
            yield from _texts(value.get(key))


def wanted_tokens(body: Mapping[str, Any]) -> int | None:
    """The longest answer that a request allows, if it says so."""
    for key in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        wanted = body.get(key)
        if isinstance(wanted, int) and wanted > 0:
            return wanted
    return None


def estimate(body: Mapping[str, Any], generates: bool) -> int:
    """The cost that a request is charged on arrival, before anything is known about its answer."""
    if not generates:
        return prompt_tokens(body)
    answers = max(count(body, "n"), count(body, "best_of"))
    return prompt_tokens(body) + answers * (wanted_tokens(body) or UNSAID_MAX_TOKENS)


def count(body: Mapping[str, Any], key: str) -> int:
    """A positive number of a request's body, else 1."""
    value = body.get(key)
    return value if isinstance(value, int) and value > 0 else 1


def words(length: int, start: int) -> list[str]:
    """An answer of `length` tokens, each a word with the space before it."""
    chosen = [" " + WORDS[(start + i) % len(WORDS)] for i in range(length)]
    chosen[0] = chosen[0].lstrip()
    return chosen
