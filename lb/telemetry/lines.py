"""The observer that tells in log lines what the spine did. What each line begins with is a promise to the operator,
whose queries and alerts look for it; docs/logging.md shows them all."""

import logging
import math
from typing import Any

from lb.events import (
    Attempted,
    Cooled,
    Ejected,
    Exhausted,
    Finished,
    Healed,
    Judged,
    Observer,
    Outcome,
    OverQuota,
    Recalled,
    Restored,
    Scattered,
    Switched,
    Trespassed,
)
from lb.telemetry.log import Logs

REMEDY = (
    "it refuses our credential or lacks the deployment. Check its key or the role of our identity, and the "
    "deployment's name; `lb check --probe` tells which"
)
_WORTH_A_LINE = (Outcome.CRASHED, Outcome.CUT, Outcome.DRAINED)


class LogLines(Observer):
    """Writes them."""

    def __init__(self, logs: Logs) -> None:
        self._say = logs.say
        self._write = logs.writer.write
        self._attempted = logs.renderer.attempted
        self._judged = logs.renderer.judged
        self._debug = logs.threshold <= logging.DEBUG
        self._info = logs.threshold <= logging.INFO
        self._warning = logs.threshold <= logging.WARNING
        self.tells = {
            Attempted: self.attempted,
            Judged: self.judged,
            Cooled: self.cooled,
            Ejected: self.ejected,
            Restored: self.restored,
            Switched: self.switched,
            Recalled: self.recalled,
            Exhausted: self.exhausted,
            OverQuota: self.over_quota,
            Healed: self.healed,
            Scattered: self.scattered,
            Trespassed: self.trespassed,
            Finished: self.finished,
        }

    def attempted(self, event: Attempted) -> None:
        if self._info:
            self._write(self._attempted(event))

    def judged(self, event: Judged) -> None:
        if self._info if event.status is not None else self._warning:
            self._write(self._judged(event))

    def cooled(self, event: Cooled) -> None:
        self._say("warning", _unhealthy(event), **_where(event), seconds=round(event.seconds, 3), reason=event.reason)

    def ejected(self, event: Ejected) -> None:
        fields = {**_where(event), "seconds": round(event.seconds, 3), "reason": event.reason}
        if event.misconfigured:
            self._say("error", f"{_unhealthy(event)}: {REMEDY}", **fields)
        else:
            self._say("warning", _unhealthy(event), **fields)

    def restored(self, event: Restored) -> None:
        self._say("info", f"Destination `{event.backend.name}` is available again", **_where(event))

    def switched(self, event: Switched) -> None:
        done = "taken out" if event.out else "put back"
        self._say("warning", f"Destination `{event.backend.name}` {done} by {event.by}", backend=event.backend.name)

    def recalled(self, event: Recalled) -> None:
        fields = _named(backend=event.backend.name, deployment=event.deployment)
        self._say("warning", f"Cooldown of `{event.backend.name}` ended by {event.by}", **fields)

    def exhausted(self, event: Exhausted) -> None:
        fields = _named(deployment=event.deployment, request_id=event.request_id)
        self._say("warning", "All backends are throttled", **fields, retry_after=max(1, math.ceil(event.seconds)))

    def over_quota(self, event: OverQuota) -> None:
        fields = _named(tenant=event.tenant, deployment=event.deployment, request_id=event.request_id)
        if event.seconds is not None:
            fields["retry_after"] = max(1, math.ceil(event.seconds))
        self._say("info", "A tenant's quota is used up", **fields, limit=event.limit)

    def unread(self, event: Finished) -> None:
        """What a reply cost could not be read; told once for each kind of error."""
        fields = _named(request_id=event.request_id, backend=event.backend, tenant=event.tenant)
        error = type(event.unread)
        kind = f"{error.__module__}.{error.__qualname__}"  # its message may quote the reply
        self._say(
            "warning",
            "What a reply cost could not be read; further such errors are only counted",
            **fields,
            reason=kind,
        )

    def healed(self, event: Healed) -> None:
        fields = _named(backend=event.backend.name, missed=", ".join(event.missed), request_id=event.request_id)
        self._say("info", f"Found on `{event.backend.name}` what a request names, after others had it not", **fields)

    def scattered(self, event: Scattered) -> None:
        fields = _named(deployment=event.deployment, request_id=event.request_id)
        self._say("info", "A request names objects of different backends", **fields, backends=", ".join(event.places))

    def trespassed(self, event: Trespassed) -> None:
        fields = _named(tenant=event.tenant, deployment=event.deployment, request_id=event.request_id)
        self._say("warning", "A request names another tenant's object", **fields)

    def finished(self, event: Finished) -> None:
        if not self._debug and event.outcome not in _WORTH_A_LINE:
            return  # nearly always: not worth gathering fields that nobody will see
        fields = _named(
            request_id=event.request_id,
            method=event.method,
            tenant=event.tenant,
            status=event.status,
            backend=event.backend,
            deployment=event.deployment,
            attempts=event.attempts,
            ms=round(event.seconds * 1000),
            detail=event.detail or None,
        )
        if event.outcome is Outcome.CRASHED:
            self._say("error", "Request crashed: a fault in the balancer itself", **fields)
        elif event.outcome is Outcome.CUT:
            self._say("warning", f"Response cut by `{event.backend}` after its first bytes went out", **fields)
        elif event.outcome is Outcome.DRAINED:
            self._say("warning", "Request cut by the balancer's end: it took longer than LB_DRAIN_SECONDS", **fields)
        else:
            self._say("debug", f"Request ended: {event.outcome.value}", **fields)


def _unhealthy(event: Cooled | Ejected) -> str:
    minutes, seconds = divmod(max(0, math.ceil(event.seconds)), 60)
    span = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    return f"Destination `{event.backend.name}` marked as unhealthy, reactivation in {span}"


def _where(event: Cooled | Ejected | Restored) -> dict[str, Any]:
    return _named(backend=event.backend.name, deployment=event.deployment, request_id=event.request_id)


def _named(**fields: object) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
