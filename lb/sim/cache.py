"""The prompt cache of one resource: how much of a prompt was seen a short while ago. Pure: the moment is a parameter.

The rules are those of Azure's page on prompt caching: a prompt of at least 1024 tokens is cached by its prefix, hits
come in steps of 128 tokens, an entry lives for some minutes after its last use, and `prompt_cache_key` takes part in
the choice of the machine that holds it. Nothing is shared between resources, nor between the deployments of one.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from lb.sim.tokens import texts

LEAST_TOKENS = 1024
STEP_TOKENS = 128
CHARACTERS = 4
"""Characters of one token, see `tokens`."""
MOST_PREFIXES = 50_000
"""A bound on memory: about 10 MB. Those that were not used for the longest time are forgotten first."""


class PromptCache:
    """Prefixes of prompts with the moment of their last use."""

    def __init__(self, seconds: float, most: int = MOST_PREFIXES) -> None:
        self._seconds = seconds
        self._most = most
        self._used: OrderedDict[bytes, float] = OrderedDict()

    def cached(self, deployment: str, body: Mapping[str, Any], prompt: int, now: float) -> int:
        """Tokens of a prompt of `prompt` tokens that were cached; all of its prefixes are from now on.

        `now` is in seconds of any clock that only goes forward.
        """
        if prompt < LEAST_TOKENS or not self._seconds:
            return 0
        hit = 0
        for tokens, prefix in _prefixes(deployment, body, prompt):
            if now - self._used.get(prefix, float("-inf")) < self._seconds:
                hit = tokens
            self._used[prefix] = now
            self._used.move_to_end(prefix)
        while len(self._used) > self._most:
            self._used.popitem(last=False)
        return hit

    def __len__(self) -> int:
        return len(self._used)


def _prefixes(deployment: str, body: Mapping[str, Any], prompt: int) -> Iterator[tuple[int, bytes]]:
    """The prefixes that can be cached, shortest first, each with its length in tokens. Tools come before all text."""
    whose = [deployment, body.get("prompt_cache_key"), body.get("tools")]
    state = blake2b(orjson.dumps(whose), digest_size=16)
    text = "".join(texts(body))
    at = 0
    for tokens in range(LEAST_TOKENS, prompt + 1, STEP_TOKENS):
        state.update(text[at : tokens * CHARACTERS].encode("utf-8", "surrogatepass"))
        at = tokens * CHARACTERS
        yield tokens, state.copy().digest()
