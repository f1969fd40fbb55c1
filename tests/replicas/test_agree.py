"""The script that Redis runs: whatever replicas report, and whatever answers are lost, caps add up to the limit."""

import asyncio
import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_server import Server

from lb.metering.lease import Grant, Lease
from lb.replicas.client import SCOPE, EntraCredentials, client
from lb.replicas.link import AGREE

LIMIT = 100
MOVES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.booleans(), st.sampled_from([0, 0, 0, 30])), max_size=25
)


def test_all_caps_together_are_at_most_the_limit() -> None:
    async def run() -> None:
        async with Server() as server:
            await asyncio.to_thread(explore, server.url)

    asyncio.run(run())


def explore(url: str) -> None:
    with asyncio.Runner() as runner:
        redis = client(url, None)

        @settings(max_examples=60, deadline=None)
        @given(MOVES)
        def explored(moves: list[tuple[str, int, bool, int]]) -> None:
            runner.run(check(redis, moves))

        try:
            explored()
        finally:
            runner.run(redis.aclose())


async def check(redis, moves: list[tuple[str, int, bool, int]]) -> None:  # type: ignore[no-untyped-def]
    """Each move: a replica is asked for so many, reports, and hears the answer or not; some of its use is forgotten."""
    await redis.flushall()
    leases = {name: Lease(LIMIT, 3) for name in "abc"}
    used = dict.fromkeys("abc", 0)
    for name, amount, heard, forgotten in moves:
        lease = leases[name]
        used[name] = max(0, used[name] - forgotten)
        fits = lease.granted_at > 0 and used[name] + amount <= min(lease.cap, LIMIT)
        lease.ask(amount, lacked=not fits)
        used[name] += amount * fits
        report = lease.report(1.0, "k", used[name], 60.0)
        words = (name, report.limit, report.used, report.wanted, int(report.lacks), 60_000, 0, report.replicas)
        cap, replicas, free, pressed = await redis.eval(AGREE, 1, "k", *words)
        if heard:
            lease.take(1.0, Grant(cap, replicas, free, bool(pressed)))
        assert sum(lease.cap for lease in leases.values()) <= LIMIT
        assert sum(used.values()) <= LIMIT
        assert all(lease.cap >= used[who] for who, lease in leases.items())
    assert await redis.pttl("k") > 0 or not moves


async def test_entra_tokens_come_with_their_object_id_as_user() -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"oid": "11111111-2222"}).encode()).rstrip(b"=").decode()
    asked: list[str] = []

    async def token(scope: str) -> str:
        asked.append(scope)
        return f"head.{claims}.signature"

    credentials = EntraCredentials(token)
    assert await credentials.get_credentials_async() == ("11111111-2222", f"head.{claims}.signature")
    assert asked == [SCOPE]
    with pytest.raises(TypeError):
        credentials.get_credentials()
