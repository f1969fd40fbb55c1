"""Shares among equals follow the weights, whatever the policy."""

import heapq
import random
from collections import Counter

import pytest

from lb.balancing.attempt import Attempt
from lb.balancing.backend import Backend
from lb.balancing.policy import POLICIES, headroom, least_loaded, round_robin
from lb.balancing.pool import Pool
from lb.balancing.verdict import RELAY


def pool_of(weights: dict[str, int], policy: str = "least-loaded", **more: object) -> Pool:
    backends = [Backend(name, f"https://{name}", weight=weight, **more) for name, weight in weights.items()]  # type: ignore[arg-type]
    return Pool(backends, lambda fact: None, policy=POLICIES[policy], rng=random.Random(7))  # noqa: S311


def begin(pool: Pool, deployment: str = "chat", now: float = 1000.0) -> Attempt:
    attempt = pool.begin(now, deployment, set(), "r")
    assert attempt is not None
    return attempt


def shares(pool: Pool, count: int, concurrency: int, slow: dict[str, float] | None = None) -> dict[str, float]:
    """Keep `concurrency` requests running, of random length, and count who was picked."""
    rng = random.Random(11)  # noqa: S311
    running: list[tuple[float, int, Attempt]] = []
    picked: Counter[str] = Counter()
    now = 1000.0
    for number in range(count):
        if len(running) >= concurrency:
            now, _, done = heapq.heappop(running)
            pool.learn(now, done, RELAY)
            pool.release(done)
        attempt = begin(pool, now=now)
        picked[attempt.backend.name] += 1
        length = rng.expovariate(1.0) * (slow or {}).get(attempt.backend.name, 1.0)
        heapq.heappush(running, (now + length, number, attempt))
    return {name: chosen / count for name, chosen in picked.items()}


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("concurrency", [1, 2, 3, 10, 40])
@pytest.mark.parametrize("weights", [{"a": 1, "b": 1, "c": 1}, {"a": 3, "b": 1}, {"a": 5, "b": 3, "c": 2}])
def test_shares_converge_to_the_weights(policy: str, concurrency: int, weights: dict[str, int]) -> None:
    found = shares(pool_of(weights, policy), 2000, concurrency)
    for name, weight in weights.items():
        assert found[name] == pytest.approx(weight / sum(weights.values()), abs=0.045)


@pytest.mark.parametrize("policy", ["least-loaded", "round-robin", "headroom"])
def test_interleaved_deployments_each_follow_the_weights(policy: str) -> None:
    pool = pool_of({"a": 3, "b": 1}, policy)
    picked: dict[str, Counter[str]] = {"chat": Counter(), "embedding": Counter()}
    for turn in range(400):
        for deployment in ("chat", "chat", "chat", "embedding") if turn % 2 else ("embedding", "chat"):
            attempt = begin(pool, deployment)
            pool.release(attempt)
            picked[deployment][attempt.backend.name] += 1
    for counts in picked.values():
        assert counts["a"] / counts.total() == pytest.approx(0.75, abs=0.02)


def test_a_slow_backend_gets_less_from_least_loaded() -> None:
    found = shares(pool_of({"a": 1, "b": 1}), 2000, 10, slow={"a": 4.0})
    assert found["a"] < 0.3


def test_a_slow_backend_gets_its_turn_from_round_robin() -> None:
    found = shares(pool_of({"a": 1, "b": 1}, "round-robin"), 2000, 10, slow={"a": 4.0})
    assert found["a"] == pytest.approx(0.5, abs=0.01)


def test_round_robin_goes_round() -> None:
    pool = pool_of({"a": 1, "b": 1, "c": 1}, "round-robin")
    assert [begin(pool).backend.name for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_heavy_weights_are_interleaved_rather_than_served_in_blocks() -> None:
    pool = pool_of({"a": 2, "b": 1}, "round-robin")
    assert "".join(begin(pool).backend.name for _ in range(9)) == "abaabaaba"


def test_a_backend_that_was_busy_for_long_is_not_flooded_afterwards() -> None:
    pool = pool_of({"a": 1, "b": 1})
    held = [begin(pool) for _ in range(2)]
    stuck = next(attempt for attempt in held if attempt.backend.name == "a")
    for attempt in held:
        if attempt is not stuck:
            pool.release(attempt)
    for _ in range(1000):
        attempt = begin(pool)
        assert attempt.backend.name == "b"
        pool.release(attempt)
    pool.release(stuck)
    picks = []
    for _ in range(20):
        attempt = begin(pool)
        picks.append(attempt.backend.name)
        pool.release(attempt)
    assert 8 <= picks.count("a") <= 12


def cells(pool: Pool) -> dict[str, object]:
    found = {}
    for _ in pool.backends:
        attempt = pool.begin(1000.0, "chat", set(found), "r")
        assert attempt is not None
        found[attempt.backend.name] = attempt.health
        pool.release(attempt)
    return found


def test_headroom_prefers_the_backend_that_has_most_left_and_forgets_after_a_minute() -> None:
    pool = pool_of({"a": 1, "b": 1}, "headroom")
    known = cells(pool)
    known["a"].told(0.05, 1000.0)  # type: ignore[attr-defined]
    known["b"].told(0.65, 1000.0)  # type: ignore[attr-defined]
    assert {begin(pool, now=1050.0).backend.name for _ in range(5)} == {"b"}
    assert {begin(pool, now=1061.0).backend.name for _ in range(6)} == {"a", "b"}


def test_headroom_is_only_advice_so_an_empty_backend_still_serves() -> None:
    pool = pool_of({"a": 1}, "headroom")
    cells(pool)["a"].told(0.0, 1000.0)  # type: ignore[attr-defined]
    assert begin(pool).backend.name == "a"


def test_priority_comes_before_any_policy() -> None:
    for policy in (least_loaded, round_robin, headroom):
        backends = [Backend("ptu", "https://p", priority=1), Backend("paygo", "https://s", priority=2, weight=100)]
        pool = Pool(backends, lambda fact: None, policy=policy)
        assert {begin(pool).backend.name for _ in range(50)} == {"ptu"}
