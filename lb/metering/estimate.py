"""How many tokens is this, when nobody says? An estimate without a tokenizer; docs/metrics.md states its error."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from lb.metering.encoded import encoded_bytes, without_encoded

Count = Callable[[str], int]
"""The tokens of a text."""

_WEIGHTS: tuple[tuple[float, bytes], ...] = (
    (0.28, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    (0.50, b"0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    (0.80, b"\n"),
)
_LEADS: tuple[tuple[float, bytes], ...] = (
    (0.35, bytes(range(0xC2, 0xE0))),  # accents, Greek, Cyrillic, Hebrew, Arabic
    (0.40, b"\xe0"),  # the scripts of India, Thai
    (0.85, bytes(range(0xE1, 0xF0))),  # Chinese, Japanese, Korean; dashes and quotation marks
    (1.90, bytes(range(0xF0, 0xF5))),  # emoji
)
"""Tokens for each character of a kind, fitted to the o200k vocabulary; beyond ASCII a character is known by the first
byte of its UTF-8 form. Blanks cost nothing: they belong to the word behind them."""
_COUNTED = tuple(
    (weight, bytes(byte for byte in range(256) if byte not in kind), beyond)
    for kinds, beyond in ((_WEIGHTS, False), (_LEADS, True))
    for weight, kind in kinds
)
_TEXT = frozenset({"content", "text", "arguments", "output", "input", "name", "refusal", "instructions", "prompt"})
PARSED = 64 * 1024
"""Bytes of a request body that are parsed to be estimated; a larger one is estimated by its length."""
BYTES_PER_TOKEN = 4
"""Of a body that is not looked into."""
MESSAGE = 4
"""Tokens around each message of a chat, for its role and its ends."""


def rough(text: str) -> int:
    """Tokens of a text in the o200k vocabulary, roughly, in a nanosecond or so for each character."""
    ascii_only = text.isascii()
    raw = text.encode("utf-8", "surrogatepass")
    tokens = sum(
        weight * len(raw.translate(None, others)) for weight, others, beyond in _COUNTED if not (beyond and ascii_only)
    )
    return max(1, round(tokens)) if raw else 0


def prompt_tokens(body: bytes, count: Count = rough) -> int:
    """What the prompt in a request body may have cost. Pictures, sound and files in it are not counted."""
    whole, body = body, without_encoded(body) if len(body) > PARSED else body
    if len(body) > PARSED:
        return (len(whole) - encoded_bytes(whole)) // BYTES_PER_TOKEN
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return len(body) // BYTES_PER_TOKEN
    if not isinstance(asked, dict):
        return 0
    turns = asked.get("messages") or asked.get("input")
    around = MESSAGE * len(turns) + 3 if isinstance(turns, list) and turns and isinstance(turns[0], dict) else 0
    tools = asked.get("tools")
    told = json.dumps(tools, ensure_ascii=False, separators=(",", ":")) if tools else ""
    parts = [asked[key] for key in ("messages", "input", "prompt", "instructions") if key in asked]
    return around + count("\n".join(_texts(parts))) + count(told)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """All text in messages or input items, without pictures, sound and files."""
    if isinstance(value, str):
        yield value
    elif depth > 20:
        return
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _TEXT or isinstance(item, dict | list):
                yield from _texts(item, depth + 1)
