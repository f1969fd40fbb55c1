"""The observer behind `/metrics`: counts events in plain dictionaries, and shows them as one snapshot when asked.

What it costs a request is in docs/metrics.md. All that is to be rendered is in `lb.telemetry.exposition`.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lb.events import (
    Cooled,
    Ejected,
    Exhausted,
    Finished,
    Healed,
    Judged,
    Observer,
    Outcome,
    OverQuota,
    Restored,
    Scattered,
    Trespassed,
)
from lb.metering.usage import Usage
from lb.telemetry.names import NONE, OTHER, Names
from lb.telemetry.tallies import Asked, Snapshot, Spent

Count = Callable[[str], int]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TOKENS = (16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131072.0)
DEPLOYMENTS = 200
TENANTS = 1000
ROWS = 1000
"""Series of labels that one process keeps of a kind; what comes on top shares one."""
ALL = "all"
"""The deployment of what is about a whole backend."""


class Metrics(Observer):
    """Counts. `later` has an estimate counted again elsewhere, and tells what came of it."""

    def __init__(
        self,
        deployments: Iterable[str] = (),
        *,
        seconds: Sequence[float] = SECONDS,
        tokens: Sequence[float] = TOKENS,
        later: Callable[[Callable[[Count], Usage], Callable[[Usage | None], None]], None] | None = None,
    ) -> None:
        """`deployments` are those that have labels from the start; others get theirs once a backend served them."""
        self.spent: Callable[[Finished, Usage], None] | None = None
        """Told of what a reply cost once it is known for good, also where it was counted again."""
        self.unread: Callable[[Finished], None] | None = None
        """Told of the first reply whose cost could not be read, for each kind of error."""
        self.deployments = Names(DEPLOYMENTS, deployments)
        self.tenants = Names(TENANTS)
        self._seconds = tuple(seconds)
        self._tokens = tuple([int(edge) if edge == int(edge) else edge for edge in tokens])  # compared with whole ones
        self._later = later
        self._asked: dict[tuple[str | None, str | None], Asked] = {}
        self._spent: dict[tuple[str | None, str | None, str], Spent] = {}
        self._judged: dict[tuple[str, str | None, str], int] = {}
        self._others: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self.tells = {
            Judged: self._judge,
            Finished: self._finish,
            Cooled: self._cool,
            Ejected: self._eject,
            Restored: self._restore,
            Exhausted: self._exhaust,
            OverQuota: self._refuse,
            Healed: self._heal,
            Scattered: self._scatter,
            Trespassed: self._trespass,
        }

    def _judge(self, event: Judged) -> None:
        key = event.backend.name, event.deployment, event.verdict
        if key not in self._judged:
            key = self._judged_row(event)
        self._judged[key] += 1

    def _judged_row(self, event: Judged) -> tuple[str, str | None, str]:
        """The row of an attempt that has none of its own yet: it gets one once its backend has served it."""
        served = event.status is not None and event.status < 400
        label = self.deployments.admit(event.deployment) if served else self.deployments.label(event.deployment)
        key = event.backend.name, OTHER if label == OTHER else event.deployment, event.verdict
        if key not in self._judged and len(self._judged) >= ROWS:
            key = event.backend.name, OTHER, event.verdict
        self._judged.setdefault(key, 0)
        return key

    def _finish(self, event: Finished) -> None:
        row = self._asked.get((event.tenant, event.deployment)) or self._row(event)
        outcome, status = event.outcome, event.status
        if outcome is Outcome.RELAYED and status in row.relayed:
            row.relayed[status] += 1
        else:
            row.end(outcome.value, status)
        row.attempts += event.attempts
        buckets = self._seconds
        if status != 101:  # how long a WebSocket is open says nothing of how quick anybody was
            row.duration[bisect_left(buckets, event.seconds)] += 1
            row.duration[-1] += event.seconds
        first = event.first_byte
        if first is not None:
            row.first_byte[bisect_left(buckets, first)] += 1
            row.first_byte[-1] += first
            added = first - event.waited
            if added > 0:
                row.added[bisect_left(buckets, added)] += 1
                row.added[-1] += added
            else:
                row.added[0] += 1
            row.absorbed += event.throttled
        if event.usage is not None:
            if event.unread is not None:
                self._cannot_read(event, event.unread)
            if event.recount is not None and self._later is not None:
                self._count_later(event, event.usage)
            else:
                self._spend(event, event.usage)

    def _row(self, event: Finished) -> Asked:
        """The row of a request that has none of its own yet: it gets one once a backend has served it."""
        key: tuple[str | None, str | None] = (event.tenant, event.deployment)
        served = event.status is not None and event.status < 400
        label = self.deployments.admit(event.deployment) if served else self.deployments.label(event.deployment)
        if label == OTHER:
            key = (event.tenant, OTHER)
        if key not in self._asked and len(self._asked) >= ROWS:
            key = (OTHER, OTHER)
        return self._asked.setdefault(key, Asked(len(self._seconds) + 2))

    def _cannot_read(self, event: Finished, failure: Exception) -> None:
        kind = type(failure).__qualname__
        self._others["lb_usage_failures_total", kind] += 1
        if self.unread is not None and self._others["lb_usage_failures_total", kind] == 1:
            self.unread(event)

    def _count_later(self, event: Finished, rough: Usage) -> None:
        assert event.recount is not None  # noqa: S101 - the caller has looked
        assert self._later is not None  # noqa: S101 - likewise
        self._later(event.recount, lambda usage: self._spend(event, usage or rough))

    def _spend(self, event: Finished, usage: Usage) -> None:
        if self.spent is not None:
            self.spent(event, usage)
        key = (event.backend, event.tenant, event.call)
        row = self._spent.get(key)
        if row is None:
            if len(self._spent) >= ROWS:
                key = (OTHER, OTHER, event.call)
            row = self._spent.setdefault(key, Spent(len(self._tokens)))
        row.add(usage, self._tokens)

    def _cool(self, event: Cooled) -> None:
        place = event.backend.name, self.deployments.label(event.deployment)
        self._others["lb_cooldowns_total", *place] += 1
        self._others["lb_cooldown_seconds_total", *place] += event.seconds

    def _eject(self, event: Ejected) -> None:
        deployment = ALL if event.whole else self.deployments.label(event.deployment)
        kind = "misconfigured" if event.misconfigured else "faults"
        self._others["lb_ejections_total", event.backend.name, deployment, kind] += 1

    def _restore(self, event: Restored) -> None:
        deployment = ALL if event.whole else self.deployments.label(event.deployment)
        self._others["lb_returns_total", event.backend.name, deployment] += 1

    def _exhaust(self, event: Exhausted) -> None:
        self._others["lb_exhausted_total", self.deployments.label(event.deployment)] += 1

    def _refuse(self, event: OverQuota) -> None:
        deployment = self.deployments.label(event.deployment)
        self._others["lb_quota_refusals_total", self.tenants.admit(event.tenant), deployment, event.limit] += 1

    def _heal(self, event: Healed) -> None:
        self._others["lb_healed_total", event.backend.name] += 1

    def _scatter(self, event: Scattered) -> None:
        self._others["lb_scattered_total",] += 1

    def _trespass(self, event: Trespassed) -> None:
        self._others["lb_trespasses_total", self.tenants.admit(event.tenant)] += 1

    def snapshot(self) -> Snapshot:
        """All that was counted since the start."""
        shown: defaultdict[str, list[list[Any]]] = defaultdict(list)
        for (tenant, deployment), asked in self._asked.items():
            asked.show(shown, [self.tenants.admit(tenant), self.deployments.label(deployment)])
        for (backend, tenant, call), spent in self._spent.items():
            spent.show(shown, [(backend or NONE).lower(), self.tenants.admit(tenant), call])
        for (name, called, verdict), count in self._judged.items():
            shown["lb_attempts_total"].append([name, self.deployments.label(called), verdict, count])
        for (name, *labels), value in (self._zeros() | self._others).items():
            shown[name].append([*labels, value])
        return dict(shown)

    @property
    def knows_tokens(self) -> bool:
        """Has the cost of any reply been read?"""
        return bool(self._spent)

    def totals(self) -> dict[str, tuple[int, int]]:
        """Attempts and tokens by backend, since the start."""
        attempts: Counter[str] = Counter()
        tokens: Counter[str] = Counter()
        for (backend, _, _), count in self._judged.items():
            attempts[backend] += count
        for (name, _, _), spent in self._spent.items():
            if name is not None:
                tokens[name] += spent.total
        return {name: (attempts[name], tokens[name]) for name in attempts | tokens}

    def summary(self) -> dict[str, Any]:
        """The sums over all labels, by their names in `/status`."""
        outcomes: Counter[str] = Counter()
        verdicts: Counter[str] = Counter()
        for asked in self._asked.values():
            for (outcome, _), count in asked.all_ends().items():
                outcomes[outcome] += count
        for (_, _, verdict), count in self._judged.items():
            verdicts[verdict] += count
        return {
            "finished": outcomes.total(),
            "outcomes": dict(outcomes),
            "attempts": sum(asked.attempts for asked in self._asked.values()),
            "verdicts": dict(verdicts),
            "throttled_absorbed": sum(asked.absorbed for asked in self._asked.values()),
        }

    def _zeros(self) -> dict[tuple[str, ...], float]:
        """What has not happened yet, where it could have: Prometheus sees no rise from nothing to 1."""
        zeros: dict[tuple[str, ...], float] = {}
        for place in {(backend, self.deployments.label(deployment)) for backend, deployment, _ in self._judged}:
            for name in ("lb_cooldowns_total", "lb_cooldown_seconds_total", "lb_returns_total"):
                zeros[name, *place] = 0.0
            zeros["lb_ejections_total", *place, "faults"] = zeros["lb_ejections_total", *place, "misconfigured"] = 0.0
            zeros["lb_exhausted_total", place[1]] = 0.0
            zeros["lb_healed_total", place[0]] = 0.0
        if zeros:
            zeros["lb_scattered_total",] = 0.0
        for tenant in {tenant for tenant, _ in self._asked if tenant is not None}:
            zeros["lb_trespasses_total", self.tenants.admit(tenant)] = 0.0
        return zeros
