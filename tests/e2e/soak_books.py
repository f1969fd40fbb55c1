"""Holds what the clients saw against what the simulators did: was each fault absorbed, and each error deserved?"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from soak_clients import Asked
from soak_plan import CUTTING, SEEN, THROTTLES, wait_told

from lb.sim.catalogue import CATALOGUE, Scene
from lb.sim.faults import Rule

ODD = (Scene.ODDITY, Scene.STREAM_ODDITY)
WAITS = {rule.fault.kind: rule.fault.value for rule in map(Rule.parse, THROTTLES)}
HELPLESS = "nobody had capacity"
SLACK = 1.0
"""Seconds by which the event loops may lag behind what happened, on a machine that has other things to do."""


LOGGED = {
    (b"refused the connection",): "connection refused",
    (b"No response from", b"no answer within"): "first-event limit",
    (b"No response from", b"sent nothing for"): "idle limit",
    (b'"Received response 503"', b'"throttled"'): "503 with Retry-After",
    (b'"Received response 503"', b'"faulted"'): "503 without Retry-After",
}
"""Faults that the balancer's log tells apart, by words of their lines."""


@dataclass(slots=True)
class Met:
    """One request as one simulator saw it."""

    simulator: int
    at: float
    status: int | None
    fault: str | None
    deployment: str
    endless: bool
    """Its body was to end with the connection, so that nobody can tell a cut from an end."""


@dataclass
class Books:
    """Of one round."""

    absorbed: Counter[str] = field(default_factory=Counter)
    """Faults of requests that ended well."""
    results: Counter[str] = field(default_factory=Counter)
    deserved: Counter[str] = field(default_factory=Counter)
    """Errors, by why they were right."""
    wrong: list[str] = field(default_factory=list)
    """What must not be."""
    helpless: list[str] = field(default_factory=list)
    """Requests for which nobody had capacity."""

    def close(self, asked: Iterable[Asked], received: list[list[dict[str, Any]]], lines: Iterable[bytes]) -> None:
        """Compare the whole round. `received` is each simulator's own record, `lines` is the balancer's log."""
        by_id = {one.id: one for one in asked}
        met = _by_request(received, by_id)
        self._silent: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
        self._down: dict[int, list[float]] = defaultdict(list)
        for one in (one for all_of_it in met.values() for one in all_of_it):
            if one.fault in WAITS or (one.fault or "").startswith(("stream-throttle", "stream-cap")):
                self._silent[one.simulator, one.deployment].append((one.at, wait_told(one.fault, WAITS.get(one.fault))))
            elif one.fault == "refuse":
                self._down[one.simulator].append(one.at)
        for request in by_id.values():
            self._settle(request, met.get(request.id, []))
        self._read_log(by_id, lines)

    def _settle(self, asked: Asked, met: list[Met]) -> None:
        self.results[asked.result] += 1
        if asked.result == "ok":
            self.absorbed.update(one.fault for one in met if one.fault)
            return
        reason = self._reason(asked, met)
        self.deserved[reason] += bool(reason)
        if not reason or reason.endswith(HELPLESS):
            (self.helpless if reason else self.wrong).append(_story(asked, met))

    def _read_log(self, by_id: dict[str, Asked], lines: Iterable[bytes]) -> None:
        """What no simulator can tell: that a connection was refused, or how long the balancer was patient."""
        for line in lines:
            kind = next((kind for words, kind in LOGGED.items() if all(word in line for word in words)), None)
            if kind is not None:
                request = by_id.get(json.loads(line).get("request_id", ""))
                self.absorbed[kind] += request is not None and request.result == "ok"

    def _reason(self, asked: Asked, met: list[Met]) -> str:
        """Why the client rightly saw this; empty when it should not have."""
        faults = {one.fault for one in met}
        if asked.result == "cut":
            if faults & CUTTING:
                return f"cut by {min(faults & CUTTING)}"
            down = any(one.status == 200 and self._went_down(one.simulator, asked) for one in met)
            return "cut when a backend went down" if down else ""
        if any(one.endless and one.fault in CUTTING for one in met):
            return "cut without a length, which nobody can see"
        if faults & SEEN and asked.result in ("told", "400"):
            return f"relayed {min(faults & SEEN)}"
        if asked.result.isdigit() and not any(self._had_capacity(number, asked, met) for number in range(3)):
            return f"{asked.result}, {HELPLESS}"
        return ""

    def _had_capacity(self, number: int, asked: Asked, met: list[Met]) -> bool:
        """Would this simulator have answered when the client got its error? Those that failed this request may not be
        asked again for it."""
        if any(one.simulator == number and one.fault for one in met):
            return False
        return not (
            self._went_down(number, asked)
            or any(at <= asked.ended <= at + wait + SLACK for at, wait in self._silent[number, asked.deployment])
        )

    def _went_down(self, number: int, asked: Asked) -> bool:
        """Did it refuse and cut connections while the request ran?"""
        return any(asked.began - SLACK - 0.15 <= at <= asked.ended + SLACK for at in self._down[number])


def _story(asked: Asked, met: list[Met]) -> str:
    told = [f"openai{one.simulator + 1} at {one.at - asked.began:+.3f}: {one.fault or one.status}" for one in met]
    request = f"{asked.id} {asked.kind} {asked.deployment} {asked.ended - asked.began:.3f} s"
    return f"{request}: {asked.result} {asked.detail} [{'; '.join(told)}]"


def _by_request(received: list[list[dict[str, Any]]], by_id: dict[str, Asked]) -> dict[str, list[Met]]:
    """What each request met, in order."""
    met: dict[str, list[Met]] = defaultdict(list)
    for number, records in enumerate(received):
        for record in records:
            name = next((value for key, value in record["headers"] if key.lower() == "x-request-id"), "")
            if name in by_id:
                fault = next((kind for kind in record["faults"] if _matters(kind)), None)
                endless = "until-close" in record["faults"]
                met[name].append(Met(number, record["at"], record["status"], fault, by_id[name].deployment, endless))
    for story in met.values():
        story.sort(key=lambda one: one.at)
    return met


def _matters(kind: str) -> bool:
    return kind == "slow-head" or CATALOGUE[kind][0] not in ODD
