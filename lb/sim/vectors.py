"""Embeddings and the list of models."""

import base64
import math
import random
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lb.sim.answer import Answer, Desk
from lb.sim.ledger import Usage
from lb.sim.tokens import characters, prompt_tokens


@lru_cache(maxsize=8)
def _base(size: int) -> bytes:
    """A vector of length 1 as 32-bit floats; all others are this one, turned."""
    rng = random.Random(size)
    raw = [rng.gauss(0, 1) for _ in range(size)]
    length = math.sqrt(sum(x * x for x in raw))
    return struct.pack(f"<{size}f", *[x / length for x in raw])


def vector(text: Any, size: int) -> bytes:
    """The embedding of one input as little-endian 32-bit floats; equal inputs get equal vectors."""
    seed = sum(text.encode()) if isinstance(text, str) else characters(text)
    turn = 4 * ((seed * 31 + characters(text)) % size)
    base = _base(size)
    return base[turn:] + base[:turn]


def embeddings(body: Mapping[str, Any], desk: Desk) -> Answer:
    """Answer an embeddings request, as base64 where it asks so (the SDK does), else as numbers."""
    given = body.get("input", "")
    inputs = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    wanted = body.get("dimensions")
    size = wanted if isinstance(wanted, int) and 0 < wanted <= 4096 else desk.embedding_size
    encoded = body.get("encoding_format") == "base64"
    rows = []
    for index, text in enumerate(inputs):
        raw = vector(text, size)
        value = base64.b64encode(raw).decode() if encoded else struct.unpack(f"<{size}f", raw)
        rows.append({"object": "embedding", "index": index, "embedding": value})
    usage = Usage(prompt_tokens(body))
    told = {"prompt_tokens": usage.prompt, "total_tokens": usage.prompt}
    return Answer(usage, {"object": "list", "data": rows, "model": desk.model, "usage": told})


def models(names: tuple[str, ...], model: str) -> dict[str, Any]:
    """What `GET /openai/models` lists: the fields of both Azure's older and OpenAI's shape."""
    return {"object": "list", "data": [one_model(name) for name in names or (model,)]}


def one_model(name: str) -> dict[str, Any]:
    """One entry of that list."""
    can = {"chat_completion": True, "completion": True, "embeddings": True, "fine_tune": False, "inference": True}
    return {
        "id": name,
        "object": "model",
        "created": 1_773_705_600,
        "created_at": 1_773_705_600,
        "owned_by": "azure",
        "status": "succeeded",
        "capabilities": can,
        "lifecycle_status": "generally-available",
    }


def model_info(model: str) -> dict[str, Any]:
    """What the Foundry Models API says of the model behind it."""
    return {"model_name": model, "model_type": "chat-completion", "model_provider_name": "simulated"}
