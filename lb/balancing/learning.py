"""What a verdict does to the belief about a backend.

Late news is old news: an attempt tells only about the time since it began.
"""

from collections.abc import Sequence

from lb.balancing.attempt import Attempt
from lb.balancing.health import Health
from lb.balancing.transitions import Cooled, Ejected, Restored, Tell
from lb.balancing.verdict import Faulted, Misconfigured, Missed, Relay, Throttled, Unsent, Verdict

POISON_COOLDOWN = 10.0
"""Seconds at most for a Retry-After that is about one oversized request rather than about the deployment."""
AZURE_WINDOW = 60.0
"""Seconds: Azure's limits are counted by the minute, so no window of its own can ask for more."""


class Learning:
    """Applies verdicts to `Health`."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def learn(self, now: float, attempt: Attempt, verdict: Verdict, earlier: Sequence[Attempt]) -> None:
        """Update the health of the attempt's (backend, deployment)."""
        match verdict:
            case Relay() | Missed():
                self._answered(attempt)
                if verdict.served:
                    self._succeeded(now, attempt)
            case Throttled():
                self._answered_site(attempt)
                attempt.health.breaker.success(attempt.started)  # not told: it goes from one absence to the next
                self._throttled(now, attempt, verdict)
            case Faulted():
                attempt.health.faulted += 1
                attempt.health.reason = verdict.reason
                if verdict.whole:
                    self._strike(now, attempt, verdict)
                else:
                    self._answered_site(attempt)
                    self._faulted(now, attempt, verdict, earlier)
            case Misconfigured():
                self._answered_site(attempt)
                self._misconfigured(now, attempt, verdict)
            case Unsent():
                pass  # our own shortage tells nothing about it

    def _answered(self, attempt: Attempt) -> None:
        """It answered as a working service does, so no fault is running."""
        self._answered_site(attempt)
        breaker = attempt.health.breaker
        if (breaker.strikes or breaker.open) and breaker.success(attempt.started):
            self._restore(attempt)

    def _answered_site(self, attempt: Attempt) -> None:
        breaker = attempt.health.site.breaker
        if (breaker.strikes or breaker.open) and breaker.success(attempt.started):
            self._restore(attempt, whole=True)

    def _succeeded(self, now: float, attempt: Attempt) -> None:
        health = attempt.health
        health.served += 1
        health.last_success = now
        if health.returning and attempt.started >= health.cooling_until:
            health.returning = False

    def _throttled(self, now: float, attempt: Attempt, verdict: Throttled) -> None:
        health = attempt.health
        health.throttled += 1
        seconds = verdict.seconds
        served_lately = now - health.last_success <= AZURE_WINDOW
        if verdict.asked is not None and verdict.asked > AZURE_WINDOW and served_lately:
            seconds = min(seconds, POISON_COOLDOWN)
        self.cool(now, health, now + seconds, verdict.reason, attempt.request_id)

    def cool(self, now: float, health: Health, until: float, reason: str, request_id: str | None = None) -> None:
        """Leave it alone until then. A later end extends a running cooldown, an earlier one never shortens it."""
        was_cooling = health.is_cooling(now)
        health.cooled_at = now
        health.returning = True
        if until > health.cooling_until:
            health.cooling_until, health.reason = until, reason
        if not was_cooling:
            if health.cooling:
                self.returned(health)
            health.cooling = True
            self.tell(Cooled(health.backend, health.deployment, until - now, reason, request_id))

    def returned(self, health: Health) -> None:
        """Its cooldown has ended. That makes it available, unless it is ejected as well."""
        health.cooling = False
        if not health.breaker.open and not health.site.breaker.open:
            self.tell(Restored(health.backend, health.deployment))

    def _faulted(self, now: float, attempt: Attempt, verdict: Faulted, earlier: Sequence[Attempt]) -> None:
        """Poison draws faults from several backends: then those that served others meanwhile are not to blame."""
        for before in earlier:
            self._pardon(before)
        if not earlier or attempt.health.last_success < attempt.started:
            self._strike(now, attempt, verdict)

    def _strike(self, now: float, attempt: Attempt, verdict: Faulted) -> None:
        breaker = attempt.health.site.breaker if verdict.whole else attempt.health.breaker
        strikes, row = breaker.strikes, breaker.row
        ejected = breaker.strike(now, attempt.started, silent=verdict.silent)
        if breaker.strikes > strikes and not verdict.whole:
            attempt.struck = row
        if ejected:
            self._eject(attempt, verdict.reason, breaker.seconds, whole=verdict.whole)

    def _pardon(self, attempt: Attempt) -> None:
        """Take back the strike of an attempt, if it still counts and its backend has served others since."""
        health, struck = attempt.health, attempt.struck
        if struck is None or health.last_success < attempt.started:
            return
        attempt.struck = None
        if struck == health.breaker.row and health.breaker.pardon():
            self._restore(attempt)

    def _misconfigured(self, now: float, attempt: Attempt, verdict: Misconfigured) -> None:
        health = attempt.health
        known = health.breaker.misconfigured
        health.reason = verdict.reason
        if health.breaker.strike(now, attempt.started, final=True) and not known:
            self._eject(attempt, verdict.reason, health.breaker.seconds, misconfigured=True)

    def _eject(
        self, attempt: Attempt, reason: str, seconds: float, *, whole: bool = False, misconfigured: bool = False
    ) -> None:
        deployment = None if whole else attempt.deployment
        self.tell(Ejected(attempt.backend, deployment, seconds, reason, attempt.request_id, misconfigured, whole))

    def _restore(self, attempt: Attempt, *, whole: bool = False) -> None:
        deployment = None if whole else attempt.deployment
        self.tell(Restored(attempt.backend, deployment, attempt.request_id, whole))
