"""Keeps a worker's health table and what its peers say of it the same.

Log lines come from who learned a thing: what is adopted here is told to nobody.
"""

import math
from collections.abc import Callable

from lb.balancing.attempt import Attempt
from lb.balancing.health import STRIKES, Breaker, Health, Site
from lb.balancing.peers import NOTHING, Belief, Ejection, Peers, Right, key_of
from lb.balancing.table import MAX_CELLS, Table

EXTENSION_SECONDS = 0.05
"""A cooldown that grows by less is told with the next tick: 200 refusals at once differ by a few milliseconds each."""
SERVED_SECONDS = 10.0
"""How often it is told that a backend serves; the poison guard asks about the last minute."""
DENIED_SECONDS = 0.05
"""For which a right that others have is not asked for again, unless somebody rings."""


class Sharing:
    """See the head of this file. `expire` tells of cooldowns that have ended, before others begin."""

    def __init__(self, peers: Peers, table: Table, expire: Callable[[float], None]) -> None:
        self._peers = peers
        self._news = peers.news
        self._table = table
        self._expire = expire
        self._known: dict[bytes, Belief] = {}
        self._cells: dict[bytes, Health] = {}
        self._sites: dict[bytes, Site] = {}
        self._denied: list[Health] = []

    def born(self, cell: Health) -> None:
        """A new line of the table: what is known of it already?"""
        if len(self._cells) > 2 * MAX_CELLS:
            self._forget()
        cell.key = key_of(cell.backend, cell.deployment)
        self._cells[cell.key] = cell
        self._meet(cell.site)
        known = self._known.get(cell.key)
        if known is not None:
            _adopt_cell(cell, known)

    def hear(self, now: float) -> bool:
        """Adopt what others said; False when there is nothing new. Asked before every pick."""
        news = self._news()
        if not news:
            return False
        self._expire(now)
        for key, belief in news:
            before = self._known.get(key, NOTHING)
            joined = before.join(belief)
            if joined != before:
                self._known[key] = joined
                self._adopt(key, joined)
        return True

    def rung(self) -> None:
        """Somebody rang: rights that were denied may be free again."""
        for cell in self._denied:
            cell.denied_until = cell.breaker.denied_until = cell.site.breaker.denied_until = 0.0
        self._denied.clear()

    def say(self, now: float, cell: Health, *, all_of_it: bool = False) -> None:
        """Tell what this worker has come to believe of a cell and its site, where that is new."""
        known = self._known.get(cell.key)
        if known is not None or cell.cooling_until or cell.breaker.since or all_of_it:
            self._say_cell(now, cell, known or NOTHING, 0.0 if all_of_it else EXTENSION_SECONDS)
        if cell.site.breaker.since:
            self._say_site(now, cell)

    def say_all(self, now: float) -> None:
        """Tell what was not worth telling at once. Asked now and then."""
        for cell in self._table.cells:
            served = self._known.get(cell.key, NOTHING).served
            if cell.cooling_until > now or cell.last_success > served + SERVED_SECONDS:
                self.say(now, cell, all_of_it=True)

    def enter(self, now: float, attempt: Attempt, *, risky: bool) -> bool:
        """Take the rights that the attempt needs over all workers; False when it may not go, or not yet.

        A `risky` attempt goes where only an ejection stands in the way: it needs no right to probe.
        """
        cell = attempt.health
        if attempt.trial and not self._peers.claim(cell.key, Right.TRIAL):
            attempt.trial = False
            cell.trials -= 1
            self._deny(now, cell, cell)
            return False
        if attempt.probes_cell and not self._peers.claim(cell.key, Right.PROBE):
            attempt.probes_cell = cell.breaker.probing = False
            self._deny(now, cell, cell.breaker)
            if not risky:
                return False
        if attempt.probes_site and not self._peers.claim(cell.site.key, Right.PROBE):
            attempt.probes_site = cell.site.breaker.probing = False
            self._deny(now, cell, cell.site.breaker)
            return risky
        return True

    def leave(self, attempt: Attempt) -> None:
        """Give the attempt's rights back."""
        cell = attempt.health
        if attempt.trial:
            self._peers.release(cell.key, Right.TRIAL)
        if attempt.probes_cell:
            self._peers.release(cell.key, Right.PROBE)
        if attempt.probes_site:
            self._peers.release(cell.site.key, Right.PROBE)

    def _deny(self, now: float, cell: Health, where: Health | Breaker) -> None:
        where.denied_until = now + DENIED_SECONDS
        self._denied.append(cell)

    def _say_cell(self, now: float, cell: Health, known: Belief, worth: float) -> None:
        until = cell.cooling_until if cell.cooling_until > known.cooling_until + worth else known.cooling_until
        over = known.over_until if cell.returning else max(known.over_until, cell.cooling_until)
        served = cell.last_success if cell.last_success > known.served + SERVED_SECONDS else known.served
        ejection = _ejection(now, cell.breaker, known.ejection)
        if (until, over, served, ejection) != (known.cooling_until, known.over_until, known.served, known.ejection):
            self._tell(cell.key, Belief(until, over, ejection, served, now, cell.reason, known.recalled))

    def _say_site(self, now: float, cell: Health) -> None:
        known = self._known.get(cell.site.key, NOTHING)
        ejection = _ejection(now, cell.site.breaker, known.ejection)
        if ejection != known.ejection:
            self._tell(cell.site.key, known._replace(ejection=ejection, told=now, reason=cell.reason))

    def _tell(self, key: bytes, belief: Belief) -> None:
        self._known[key] = belief
        self._peers.say(key, belief)

    def _meet(self, site: Site) -> None:
        if not site.key:
            site.key = key_of(site.backend, None, whole=True)
        self._sites[site.key] = site
        self._adopt_site(site, self._known.get(site.key, NOTHING))

    def _adopt(self, key: bytes, belief: Belief) -> None:
        if belief.switched and key not in self._sites:  # of one that nobody has asked yet
            for unmet in self._table.sites:
                self._meet(unmet)
        site, cell = self._sites.get(key), self._cells.get(key)
        if site is not None:
            self._adopt_site(site, belief)
        elif cell is not None:
            _adopt_cell(cell, belief)

    def _adopt_site(self, site: Site, belief: Belief) -> None:
        _adopt_breaker(site.breaker, belief.ejection)
        if belief.switched and site.out != belief.out:
            self._table.switch(site, out=belief.out)

    def _forget(self) -> None:
        """Let go of cells that the table has dropped, and of what was said of them."""
        self._cells = {cell.key: cell for cell in self._table.cells}
        self._sites = {site.key: site for site in self._table.sites if site.key}
        self._known = {key: known for key, known in self._known.items() if key in self._cells or key in self._sites}


def _ejection(now: float, breaker: Breaker, known: Ejection) -> Ejection:
    """The breaker as a statement: the known one while nothing has changed, else one that is later than that."""
    state = (breaker.until, breaker.seconds, breaker.since, breaker.silent, breaker.misconfigured)
    if state == known[1:]:
        return known
    return Ejection(max(now, math.nextafter(known.changed, math.inf)), *state)


def _adopt_cell(cell: Health, belief: Belief) -> None:
    ejected = _adopt_breaker(cell.breaker, belief.ejection)
    if ejected or belief.cooling_until > cell.cooling_until:
        cell.reason = belief.reason
    if belief.recalled > cell.recalled:
        cell.recalled, cell.cooling_until = belief.recalled, belief.cooling_until
    cell.cooling_until = max(cell.cooling_until, belief.cooling_until)
    cell.returning = cell.cooling_until > belief.over_until
    cell.last_success = max(cell.last_success, belief.served)


def _adopt_breaker(breaker: Breaker, ejection: Ejection) -> bool:
    """Take over a breaker's state; True when that changes it. The strikes of before no longer count."""
    state = (breaker.until, breaker.seconds, breaker.since, breaker.silent, breaker.misconfigured)
    if state == ejection[1:]:
        return False
    _, breaker.until, breaker.seconds, breaker.since, breaker.silent, breaker.misconfigured = ejection
    breaker.strikes = STRIKES if ejection.seconds else 0
    breaker.row += 1
    return True
