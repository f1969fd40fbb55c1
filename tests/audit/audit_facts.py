"""Facts as the relay hands them to the clerk."""

from typing import Any

JSON = ("application/json", "", 0)
NOTHING = dict.fromkeys(("first_byte_ms", "tokens", "content_dropped", "truncated"))


def facts(name: str = "r-1", **more: Any) -> dict[str, Any]:
    usual = {
        "request_id": name,
        "call": "chat",
        "timestamp": 1795262400.0,
        "ms": 0.1,
        "path": "/x?y",
        "forwarded_for": "",
    }
    return {**usual, **NOTHING, "asked": JSON, "told": JSON, **more}
