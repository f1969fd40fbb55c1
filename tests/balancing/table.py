"""A health table with a clock that is moved by hand, and what it told."""

from lb.balancing.attempt import Attempt
from lb.balancing.backend import Backend
from lb.balancing.health import Health
from lb.balancing.pool import Pool
from lb.balancing.transitions import Cooled, Ejected, Restored, Transition
from lb.balancing.verdict import RELAY, Faulted, Throttled, Verdict

FAULT = Faulted("HTTP 500")
SILENCE = Faulted("nothing for 240 s", silent=True)
REFUSED = Faulted("refused", whole=True)


def asks(seconds: float) -> Throttled:
    """A 429 with this Retry-After, clamped as the judge does it."""
    return Throttled(min(seconds, 120.0), "HTTP 429", seconds)


class Bench:
    """Backends in the order in which they are preferred."""

    def __init__(self, names: str = "a b", **more: object) -> None:
        self.now = 1000.0
        self.told: list[Transition] = []
        backends = [
            Backend(name, f"https://{name}", priority=number, **more)  # type: ignore[arg-type]
            for number, name in enumerate(names.split(), 1)
        ]
        self.pool = Pool(backends, self.told.append)

    def begin(self, deployment: str | None = "chat", tried: str = "") -> Attempt | None:
        return self.pool.begin(self.now, deployment, set(tried.split()), "r")

    def take(self, name: str, deployment: str | None = "chat") -> Attempt:
        """A permit for just this backend."""
        others = " ".join(backend.name for backend in self.pool.backends if backend.name != name)
        attempt = self.begin(deployment, others)
        assert attempt is not None
        assert attempt.backend.name == name
        return attempt

    def end(self, attempt: Attempt, verdict: Verdict, *earlier: Attempt) -> Attempt:
        self.pool.learn(self.now, attempt, verdict, earlier)
        self.pool.release(attempt)
        return attempt

    def meet(self, name: str, *verdicts: Verdict, deployment: str | None = "chat") -> None:
        """Requests one after the other, each with its verdict."""
        for verdict in verdicts:
            self.end(self.take(name, deployment), verdict)

    def succeed(self, name: str) -> None:
        self.meet(name, RELAY)

    def pick(self, deployment: str | None = "chat", tried: str = "") -> str | None:
        """Who would be asked now?"""
        attempt = self.begin(deployment, tried)
        if attempt is None:
            return None
        self.pool.release(attempt)
        return attempt.backend.name

    def health(self, name: str, deployment: str | None = "chat") -> Health:
        self.pool._table.lane(deployment)
        return next(
            cell
            for cell in self.pool._table.cells
            if cell.backend.name == name and cell.deployment == cell.backend.calls(deployment)
        )

    def facts(self) -> list[tuple[str, str, float]]:
        """What was told since the last time: kind, backend, seconds."""
        told = [
            (type(fact).__name__, fact.backend.name, fact.seconds if isinstance(fact, Cooled | Ejected) else 0.0)
            for fact in self.told
            if isinstance(fact, Cooled | Ejected | Restored)
        ]
        self.told.clear()
        return told
