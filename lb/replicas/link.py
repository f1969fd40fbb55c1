"""The link to the other replicas: budgets are agreed on several times a second; cooldowns, and what was learned of
objects, are told at once.

Nothing here is in a request's way. Without Redis each replica lives on its even part of every budget, by the last
number of replicas that it knew, and says so; when Redis is back it goes on as before.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from typing import Any, Protocol

import orjson
import redis.asyncio as redis_py
from redis.exceptions import RedisError

from lb.balancing.peers import key_of
from lb.balancing.pins import Pins
from lb.balancing.pool import Pool
from lb.events import Cooled
from lb.metering.lease import Grant, Report
from lb.metering.quota import Quota
from lb.replicas.pin_news import PinNews

TICK_SECONDS = 0.25
TIMEOUT_SECONDS = 1.0
GRACE_SECONDS = 5.0
"""After Redis has begun with nothing: until then all that live have reported."""
PAUSE_SECONDS = 0.5
PREFIX = "lb"
COOLED, PINNED = f"{PREFIX}:cooled", f"{PREFIX}:pinned"
"""Channels."""
UNTOLD = 1000
"""Cooldowns that wait to be told; older ones are dropped, since every one ends by itself."""
AGREE = files("lb.replicas").joinpath("agree.lua").read_text()
LOST = "Redis cannot be reached: this replica lives on its even part of every budget"
BROKEN = "Replicas do not agree, through a bug: this one lives on its even part of every budget, and tries again"
_LOST = (RedisError, OSError, TimeoutError)


class Say(Protocol):
    def __call__(self, level: str, event: str, /, **fields: Any) -> None: ...


class Link:
    """`connect` makes a client; `run` goes on until it is cancelled."""

    def __init__(
        self,
        connect: Callable[[], "redis_py.Redis"],
        quota: Quota,
        pool: Pool,
        pins: Pins,
        clock: Callable[[], float],
        say: Say,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        self._connect = connect
        self._quota = quota
        self._pool = pool
        self._clock = clock
        self._say = say
        self._heard = heard
        self._name = secrets.token_hex(8)
        self._untold: deque[bytes] = deque(maxlen=UNTOLD)
        self._news = asyncio.Event()
        self._pins = PinNews(pins, self._name.encode(), self._news.set)
        self.grace = GRACE_SECONDS
        self.up = False
        self.losses = 0
        """How often Redis was lost."""
        self._warned = False
        self._puzzled = False
        self.tells = {Cooled: self._cooled}
        quota.share()

    def _cooled(self, event: Cooled) -> None:
        """The others shall stay away, too."""
        key = key_of(event.backend, event.deployment).hex()
        told = (self._name, key, event.backend.name, event.deployment, event.seconds, event.reason)
        self._untold.append(orjson.dumps(told))
        self._news.set()

    def readings(self) -> dict[str, list[list[Any]]]:
        """For `/metrics`."""
        return {"lb_redis_up": [[int(self.up)]], "lb_redis_losses_total": [[self.losses]]}

    async def run(self) -> None:
        """Agree and tell while there is Redis; come back when there is not."""
        while _wanted():
            errors = await self._stay(self._connect())
            bug = next((error for error in errors if not isinstance(error, _LOST)), None)
            if bug is not None:  # whatever it is, the next try may do without
                self._down("error", BROKEN, bug)
            elif errors:
                self._down("warning", LOST, errors[0])
            await asyncio.sleep(PAUSE_SECONDS)  # noqa: TID251 - nothing tells when Redis is back

    async def _stay(self, client: "redis_py.Redis") -> list[Exception]:
        """Until it fails; returns what failed. (A task group would raise that also where it is being cancelled, in the
        place of the cancellation, and then nothing would end this.)"""
        tasks = [asyncio.ensure_future(self._listen(client)), asyncio.ensure_future(self._agree(client))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            try:
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            finally:  # also where this is cancelled meanwhile
                await _close(client)
        return [error for error in ended if isinstance(error, Exception)]

    async def _agree(self, client: "redis_py.Redis") -> None:
        while _wanted():
            await self._exchange(client)
            self._back()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._news.wait()

    async def _exchange(self, client: "redis_py.Redis") -> None:
        self._news.clear()
        reports = self._quota.reports(self._clock())
        pipe = client.pipeline(transaction=False)
        for told in self._untold:
            pipe.publish(COOLED, told)
        sent = len(self._untold)
        pins, count = self._pins.next()
        if count:
            pipe.publish(PINNED, pins)
        for report in reports:
            pipe.eval(AGREE, 1, f"{PREFIX}:budget:{report.key}", *self._arguments(report))
        if not sent and not count and not reports:
            pipe.ping()
        answers = await pipe.execute()
        for _ in range(sent):
            self._untold.popleft()
        self._pins.told(count)
        grants = {
            report.key: Grant(int(cap), int(replicas), int(free), bool(pressed))
            for report, (cap, replicas, free, pressed) in zip(reports, answers[sent + bool(count) :], strict=False)
        }
        self._quota.grant(self._clock(), grants)

    def _arguments(self, report: Report) -> tuple[Any, ...]:
        keep, grace = int(report.keep * 1000), int(self.grace * 1000)
        lacks = int(report.lacks)
        return self._name, report.limit, report.used, report.wanted, lacks, keep, grace, report.replicas

    async def _listen(self, client: "redis_py.Redis") -> None:
        async with client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(COOLED, PINNED)
            while _wanted():
                message = await channel.get_message(timeout=TIMEOUT_SECONDS)
                if message is not None and message["channel"] == PINNED.encode():
                    self._pins.hear(message["data"])
                elif message is not None:
                    self._hear(message["data"])

    def _hear(self, data: bytes) -> None:
        """Another replica's cooldown. What a later version adds is passed over, and so is what cannot be read."""
        cooldown = _read(data)
        if cooldown is None:
            if not self._puzzled:
                self._puzzled = True
                self._say("warning", "A cooldown that was told through Redis cannot be read; such ones are passed over")
            return
        name, key, backend, deployment, seconds, reason = cooldown
        if name == self._name:
            return
        ours = next((known for known in self._pool.backends if known.name == backend), None)
        if ours is not None and key_of(ours, deployment).hex() == key:
            self._pool.cool(self._clock(), backend, deployment, seconds, reason)
            self._heard()

    def _back(self) -> None:
        if not self.up:
            self._say("info", "Replicas agree through Redis" if not self.losses else "Redis is back")
        self.up, self._warned = True, False

    def _down(self, level: str, event: str, lost: BaseException) -> None:
        self.losses += self.up
        self.up = False
        if not self._warned:
            self._warned = True
            self._say(level, event, reason=f"{type(lost).__name__}: {lost}"[:200])


def _wanted() -> bool:
    """Nobody has cancelled the running task. Asked in each round: redis-py sends with `asyncio.wait_for`, which up to
    Python 3.11 forgets a cancellation that comes at the moment in which it ends (CPython issue 86296)."""
    task = asyncio.current_task()
    return task is None or not task.cancelling()


def _read(data: bytes) -> tuple[str, str, str, str | None, float, str] | None:
    """Name of the replica, key, backend, deployment, seconds, reason; None for what is not that."""
    try:
        name, key, backend, deployment, seconds, reason, *_ = orjson.loads(data)
    except (ValueError, TypeError):
        return None
    texts = name, key, backend, reason, deployment or ""
    whole = all(isinstance(text, str) for text in texts) and type(seconds) in (int, float) and seconds >= 0
    return (name, key, backend, deployment, float(seconds), reason) if whole else None


async def _close(client: "redis_py.Redis") -> None:
    with suppress(*_LOST):  # it was lost anyway
        await client.aclose()
