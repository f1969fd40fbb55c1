"""`/_sim/...`: look at the endpoint's books and change how it behaves while it runs."""

from collections.abc import Callable
from typing import Any

import orjson

from lb.sim.endpoint import Endpoint
from lb.sim.settings import Limit

Told = tuple[int, Any]


class Control:
    """Answers with a status and something to show as JSON."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._ways: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("GET", "/_sim"): self._everything,
            ("GET", "/_sim/ledger"): lambda _: endpoint.ledger.rows(),
            ("GET", "/_sim/counts"): lambda _: endpoint.counts.seen(),
            ("GET", "/_sim/received"): self._received,
            ("GET", "/_sim/faults"): self._faults,
            ("POST", "/_sim/faults"): self._change_faults,
            ("DELETE", "/_sim/faults"): self._clear_faults,
            ("POST", "/_sim/limits"): self._change_limits,
            ("POST", "/_sim/reset"): self._reset,
        }

    def __call__(self, method: str, target: str, body: bytes) -> Told:
        way = self._ways.get((method, target.partition("?")[0].rstrip("/")))
        if way is None:
            return 404, {"error": "no such thing", "known": [" ".join(key) for key in self._ways]}
        try:
            said = orjson.loads(body) if body else {}
            if not isinstance(said, dict):
                raise ValueError("the body must be a JSON object")
            return 200, way(said)
        except ValueError as wrong:
            return 400, {"error": str(wrong)}

    def _everything(self, _: dict[str, Any]) -> dict[str, Any]:
        told = self._endpoint
        return {"name": told.settings.name, "counts": told.counts.seen(), "faults": self._faults({})}

    def _received(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "method": one.method,
                "target": one.target,
                "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in one.headers],
                "body": one.body.decode("utf-8", "replace"),
                "at": one.at,
                "connection": one.connection,
                "status": one.status,
                "faults": one.faults,
            }
            for one in self._endpoint.received
        ]

    def _faults(self, _: dict[str, Any]) -> dict[str, Any]:
        faults = self._endpoint.faults
        return {
            "rules": [str(rule) for rule in faults.rules],
            "script": faults.waiting,
            "happened": dict(faults.happened),
        }

    def _change_faults(self, said: dict[str, Any]) -> dict[str, Any]:
        unknown = said.keys() - {"clear", "add", "script"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; say clear, add or script")
        if said.get("clear"):
            self._endpoint.faults.clear()
        self._endpoint.faults.add(*_texts(said, "add"))
        self._endpoint.faults.script(*_texts(said, "script"))
        return self._faults({})

    def _clear_faults(self, _: dict[str, Any]) -> dict[str, Any]:
        self._endpoint.faults.clear()
        return self._faults({})

    def _change_limits(self, said: dict[str, Any]) -> dict[str, Any]:
        for key in ("tpm", "rpm"):
            value = said.get(key)
            if value is not None and (not isinstance(value, int) or value < 0):
                raise ValueError(f"{key} must be a whole number, or null for no limit")
        self._endpoint.set_limit(Limit(said.get("tpm"), said.get("rpm")), said.get("deployment"))
        return said

    def _reset(self, _: dict[str, Any]) -> dict[str, Any]:
        """Empty the books; faults and limits stay."""
        endpoint = self._endpoint
        endpoint.counts.clear()
        endpoint.ledger.clear()
        endpoint.received.clear()
        endpoint.faults.happened.clear()
        return self._everything({})


def _texts(said: dict[str, Any], key: str) -> list[str]:
    texts = said.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} must be a list of texts like 500@0.1")
    return texts
