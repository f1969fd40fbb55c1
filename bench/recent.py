"""What it costs a request to be remembered: `python -m bench.recent`."""

import time
import timeit

from lb.balancing.backend import Backend
from lb.events import Announcer, Finished, Judged, Observer, Outcome
from lb.telemetry.recent import Recent

TIMES = 200_000
BACKEND = Backend("BACKEND_1", "https://openai1.openai.azure.com")
PLAIN = (
    Judged("r", BACKEND, "chat", 1, 200, "relayed", 0.4),
    Finished("r", "POST", "chat", Outcome.RELAYED, 200, 1, 0.9, "BACKEND_1", first_byte=0.4, waited=0.4),
)
FAILOVER = (
    Judged("r", BACKEND, "chat", 1, 429, "throttled", 0.04, "HTTP 429", 7.0),
    Judged("r", BACKEND, "chat", 2, 200, "relayed", 0.4),
    Finished("r", "POST", "chat", Outcome.RELAYED, 200, 2, 0.9, "BACKEND_1", first_byte=0.4, waited=0.4, throttled=1),
)


class Nobody(Observer):
    """Cares about nothing."""

    tells = {}  # noqa: RUF012 - as every observer has it


def microseconds(observer: Observer, events: tuple[Judged | Finished, ...]) -> float:
    """For the events of one request, the best of five."""
    emit = Announcer()
    emit.add(observer)

    def one() -> None:
        for event in events:
            emit(event)

    return min(timeit.repeat(one, number=TIMES, repeat=5)) / TIMES * 1e6


def main() -> None:
    """Print what it costs with, less what the events cost that nobody hears."""
    for name, events in (("one attempt", PLAIN), ("failover", FAILOVER)):
        cost = microseconds(Recent(time.time), events) - microseconds(Nobody(), events)
        print(f"{name}: {cost:.2f} us")
    recent = Recent(time.time)
    for number in range(200):
        for event in (PLAIN, FAILOVER)[number % 2]:
            recent(event)
    read = min(timeit.repeat(recent.entries, number=100, repeat=5)) / 100 * 1e6
    print(f"reading {len(recent.entries())} of them: {read:.0f} us")


if __name__ == "__main__":
    main()
