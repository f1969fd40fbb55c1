"""How a backend is doing, as far as its replies tell: the mutable half of the health table."""

from dataclasses import dataclass, field

from lb.balancing.backend import Backend

STRIKES = 3
"""Faults in a row that eject."""
FIRST_EJECTION = 10.0
MAX_EJECTION = 20.0
"""Seconds, for faults that show quickly (5xx, refused): longer leaves a recovered, paid-for backend idle."""
MAX_SILENT_EJECTION = 120.0
"""Seconds, for silence: every probe of a silent backend costs a request the whole idle limit."""
PROBE_WAIT = 5.0
"""Seconds for which others wait for what a probe of a silent backend tells."""
HEADROOM_SECONDS = 0.2
TRIALS = 2
"""Requests that may go at once to a deployment whose cooldown ended, until one succeeds."""


@dataclass(slots=True)
class Breaker:
    """Ejection after faults in a row, then probation: one probe at a time until one succeeds."""

    strikes: int = 0
    until: float = 0.0
    seconds: float = 0.0
    """Length of the running or last ejection; 0 when there is none."""
    since: float = 0.0
    silent: bool = False
    misconfigured: bool = False
    probing: bool = False
    probing_since: float = 0.0
    row: int = 0
    """Which row of strikes is being counted; a success begins the next."""
    denied_until: float = 0.0
    """Until then another worker is taken to be probing."""

    @property
    def open(self) -> bool:
        """Is it ejected or on probation?"""
        return self.seconds > 0

    def admits(self, now: float) -> bool:
        """May a request go through: closed, or the time for a probe has come and nobody is probing?"""
        return not self.seconds or (now >= self.until and not self.probing and now >= self.denied_until)

    def end(self, now: float) -> None:
        """Wait no longer: from now on it is on probation."""
        self.until = min(self.until, now)

    def strike(self, now: float, started: float, *, silent: bool = False, final: bool = False) -> bool:
        """Count a fault of an attempt that began at `started`; True when it ejects.

        An attempt from before the end of the running ejection tells nothing new, so it does not prolong it. `final`
        ejects at once.
        """
        if self.open and started < (self.since if final and not self.misconfigured else self.until):
            return False
        self.strikes += 1
        if not (self.open or final or self.strikes >= STRIKES):
            return False
        limit = MAX_SILENT_EJECTION if silent else MAX_EJECTION
        self.seconds = min(max(self.seconds * 2, FIRST_EJECTION), limit)
        self.until, self.since, self.silent, self.misconfigured = now + self.seconds, now, silent, final
        return True

    def success(self, started: float) -> bool:
        """An attempt that began at `started` was answered; True when that ends an ejection."""
        was_open = self.open
        if was_open and started < self.since:
            return False
        self.row += self.strikes > 0
        self.strikes, self.seconds, self.until, self.misconfigured = 0, 0.0, 0.0, False
        return was_open

    def pardon(self) -> bool:
        """Take a strike of the running row back; True when that ends an ejection."""
        self.strikes -= 1
        if not self.open or self.misconfigured or self.strikes >= STRIKES:
            return False
        self.seconds = self.until = 0.0
        return True


@dataclass(slots=True)
class Site:
    """A backend as a whole: can it be reached at all?"""

    backend: Backend
    breaker: Breaker = field(default_factory=Breaker)
    out: bool = False
    """The operator's switch, which no reply moves: it gets nothing new until it is put back."""
    key: bytes = b""
    """Its name among workers (see `sharing`)."""


@dataclass(slots=True, eq=False)
class Health:
    """One (backend, deployment) of the table; `deployment` is the backend's own name for it."""

    site: Site
    deployment: str | None
    breaker: Breaker = field(default_factory=Breaker)
    cooling_until: float = 0.0
    cooled_at: float = 0.0
    recalled: float = 0.0
    """When an operator ended its cooldown: what was told before no longer counts (see `sharing`)."""
    reason: str = ""
    cooling: bool = False
    """A cooldown was announced and its end not yet."""
    returning: bool = False
    """The cooldown may have ended, but nothing has succeeded since."""
    trials: int = 0
    """Running attempts that were let through while returning."""
    denied_until: float = 0.0
    """Until then other workers are taken to run all trials."""
    key: bytes = b""
    """Its name among workers (see `sharing`)."""
    in_flight: int = 0
    credit: int = 0
    """How much traffic it is owed, in weights: grows while equals are picked instead (see `policy.take_turn`)."""
    last_success: float = -1e9
    served: int = 0
    throttled: int = 0
    faulted: int = 0
    headroom: float | None = None
    """Share of its token or request limit that is left, as last told (advice only)."""
    headroom_at: float = 0.0
    headroom_due: float = 0.0
    """When it is worth reading again."""

    @property
    def backend(self) -> Backend:
        return self.site.backend

    def is_cooling(self, now: float) -> bool:
        return now < self.cooling_until

    def recall(self, now: float) -> None:
        """Its absence is over, by an operator's word. Nothing has succeeded since, so it returns as after any other."""
        self.cooling_until, self.recalled = min(self.cooling_until, now), now
        for breaker in self._breakers:
            breaker.end(now)

    def is_tried(self, now: float) -> bool:
        """Do as many as may try it while it returns, here or in other workers?"""
        return self.trials >= TRIALS or now < self.denied_until

    def admits(self, now: float) -> bool:
        """May a request go here now?"""
        if now < self.cooling_until or (self.returning and self.is_tried(now)):
            return False
        cell, site = self.breaker, self.site.breaker
        return (not cell.seconds or cell.admits(now)) and (not site.seconds or site.admits(now))

    def awaits_trial(self, now: float) -> bool:
        """Is it held back only until one of its running trials tells? An ejection does not matter: who tries it then
        was let through because nobody else was left, and tells about that, too."""
        return self.returning and self.is_tried(now) and now >= self.cooling_until and not self.misconfigured

    def ejected_until(self) -> float | None:
        """When the ejection that stands in the way ends; None when none does."""
        ends = [breaker.until for breaker in self._breakers if breaker.open]
        return max(ends) if ends else None

    def back_at(self) -> float:
        """When nothing stands in the way any more, as far as that is known."""
        return max(self.cooling_until, self.ejected_until() or 0.0)

    def is_open_to_risk(self, now: float) -> bool:
        """Do only ejections stand in the way?"""
        return now >= self.cooling_until and (not self.returning or not self.is_tried(now))

    def is_probed(self, now: float) -> bool:
        """Is a request finding out already whether its ejection is over, here or in another worker?"""
        return any(breaker.open and (breaker.probing or now < breaker.denied_until) for breaker in self._breakers)

    def awaits_probe(self, now: float) -> bool:
        """Silent for some time, but is a request on its way that may soon be answered?"""
        return (
            self.silent
            and self.is_open_to_risk(now)
            and any(
                breaker.open and breaker.probing and now < breaker.probing_since + PROBE_WAIT
                for breaker in self._breakers
            )
        )

    @property
    def _breakers(self) -> tuple[Breaker, Breaker]:
        return self.breaker, self.site.breaker

    def told(self, headroom: float | None, now: float) -> None:
        """What a reply said of the limit that is left. It is read some times a second: it moves by the minute."""
        self.headroom_due = now + HEADROOM_SECONDS
        if headroom is not None:
            self.headroom, self.headroom_at = headroom, now

    @property
    def silent(self) -> bool:
        return any(breaker.open and breaker.silent for breaker in self._breakers)

    @property
    def misconfigured(self) -> bool:
        return self.breaker.misconfigured or self.site.breaker.misconfigured
