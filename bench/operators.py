"""What the operators' page costs: to remember a request, to make a document. Run `python -m bench.operators`."""

import asyncio
import time
import timeit

import orjson

from lb.app import App
from lb.balancing.backend import Backend
from lb.config import load
from lb.events import Announcer, Finished, Judged, Observer, Outcome
from lb.telemetry.log import Logs
from lb.telemetry.recent import Recent

TIMES = 200_000
BACKEND = Backend("BACKEND_1", "https://openai1.openai.azure.com")


def _finished(attempts: int) -> Finished:
    told = Finished("r", "POST", "chat", Outcome.RELAYED, 200, attempts, 0.9, "BACKEND_1")
    told.first_byte = told.waited = 0.4
    told.throttled = attempts - 1
    return told


PLAIN = (Judged("r", BACKEND, "chat", 1, 200, "relayed", 0.4), _finished(1))
FAILOVER = (
    Judged("r", BACKEND, "chat", 1, 429, "throttled", 0.04, "HTTP 429", 7.0),
    Judged("r", BACKEND, "chat", 2, 200, "relayed", 0.4),
    _finished(2),
)


def microseconds(observer: Observer, events: tuple[Judged | Finished, ...]) -> float:
    """Of processor time, for the events of one request; the best of five."""
    emit = Announcer()
    emit.add(observer)

    def one() -> None:
        for event in events:
            emit(event)

    return min(timeit.repeat(one, timer=time.process_time, number=TIMES, repeat=5)) / TIMES * 1e6


def document(tenants: int) -> tuple[float, int]:
    """Milliseconds of processor time to make one of three backends and 200 requests, and its bytes."""
    listed = "".join(
        f"  - {{name: t{number}, tokens_per_minute: 1000, requests_per_minute: 10}}\n" for number in range(tenants)
    )
    environ = {f"BACKEND_{number}_URL": f"https://openai{number}.openai.azure.com" for number in (1, 2, 3)}
    environ |= {"LB_CLIENT_KEYS": "t0:key", "LB_CONFIG_INLINE": f"tenants:\n{listed}" if tenants else "{}"}
    logs = Logs.open(time.time, fd=2, level="error")
    app = App(load(environ), logs)
    for number in range(200):
        for event in (PLAIN, FAILOVER)[number % 2]:
            app.emit(event)

    def fresh() -> None:
        app._budgets._made = None
        app.status()

    took = min(timeit.repeat(fresh, timer=time.process_time, number=5, repeat=5)) / 5 * 1e3
    logs.close()
    return took, len(orjson.dumps(app.status()))


async def main() -> None:
    """Print what it costs with, less what the events cost that nobody hears."""
    nobody = Observer()
    nobody.tells = {}
    for name, events in (("one attempt", PLAIN), ("failover", FAILOVER)):
        cost = microseconds(Recent(time.time), events) - microseconds(nobody, events)
        print(f"a request remembered, {name}: {cost:.2f} us")
    for tenants in (0, 20, 1000):
        took, size = document(tenants)
        print(f"a document with {tenants} tenants: {took:.2f} ms, {size / 1000:.0f} kB")


if __name__ == "__main__":
    asyncio.run(main())
