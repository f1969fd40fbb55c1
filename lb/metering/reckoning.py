"""What may a request cost? Told from its body without parsing it, much as Azure estimates it at arrival: the prompt by
its length, the answer by `max_tokens` and `best_of` (Azure OpenAI, "Manage quota": tokens per minute).
"""

import re

from lb.metering.budget import Estimate
from lb.metering.encoded import STEP, encoded_bytes

ANSWER = 256
"""Tokens of an answer whose length the request does not limit."""
EDGE = 1024
"""Bytes at both ends of a body in which limits are looked for: they stand before the prompt or behind it, and what an
overlooked one allows is owed when the request ends."""
MOST = 10_000_000
"""More is nonsense."""
_BYTES_PER_TOKEN = 4
_LIMIT = re.compile(rb'"max_(?:completion_|output_)?tokens"[ \t\r\n]*:[ \t\r\n]*([0-9]{1,9})')
_CHOICES = re.compile(rb'"(?:n|best_of)"[ \t\r\n]*:[ \t\r\n]*([0-9]{1,4})')


def reckon(body: bytes, *, length: int | None = None, answers: bool = True, plain: bool = True) -> Estimate:
    """`length` is the whole body's, where only the beginning is here. `answers` is false for embeddings and the like.

    A body that is not `plain` JSON (a form, a compressed one) is not looked into: only an answer is reckoned with.
    """
    if not plain:
        return Estimate(0, ANSWER if answers else 0)
    prompt = length or len(body)
    if len(body) > STEP:
        prompt -= encoded_bytes(body)
    prompt = prompt // _BYTES_PER_TOKEN
    return Estimate(min(MOST, prompt), _answer(body) if answers else 0)


def _answer(body: bytes) -> int:
    if len(body) > 2 * EDGE:
        body = body[:EDGE] + b" " + body[-EDGE:]
    answer, choices = ANSWER, 1
    if body.rfind(b"_") >= 0:  # in all but one of the names, and found faster
        answer = max(_numbers(body, b'"max_', _LIMIT), default=ANSWER)
        choices = max(_numbers(body, b'"best_of"', _CHOICES), default=1)
    if body.rfind(b'"n"') >= 0:  # half the time of `in`
        choices = max(choices, *_numbers(body, b'"n"', _CHOICES))
    return min(answer * choices, MOST)


def _numbers(body: bytes, beginning: bytes, form: re.Pattern[bytes]) -> list[int]:
    """What stands behind the names that begin so."""
    found = []
    at = body.find(beginning)
    while at >= 0:
        match = form.match(body, at)
        if match is not None:
            found.append(int(match[1]))
        at = body.find(beginning, at + len(beginning))
    return found
