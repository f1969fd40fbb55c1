"""Measuring what the balancer adds."""

import pytest

from lb.demo.latency import ROUNDS, WARM_UP, measure, quantile
from lb.sim import Limit, Settings, Simulator


async def test_direct_and_balanced_requests_are_paired_and_counted() -> None:
    async with Simulator() as direct, Simulator() as balanced:
        found = await measure(direct.url, balanced.url, 60.0)
        assert (direct.counts.requests, balanced.counts.requests) == (2 * (ROUNDS + WARM_UP), ROUNDS + WARM_UP)
    assert found is not None
    assert found.rounds == ROUNDS
    assert found.p50 <= found.p99


async def test_what_takes_longer_through_the_balancer_shows() -> None:
    async with Simulator() as direct, Simulator(Settings(faults=("slow-head:0.005",))) as balanced:
        found = await measure(direct.url, balanced.url, 60.0)
    assert found is not None
    assert found.p50 >= 0.004


async def test_too_few_answers_give_no_figure() -> None:
    async with Simulator() as direct, Simulator(Settings(limits={"quiet": Limit(tpm=30)})) as balanced:
        assert await measure(direct.url, balanced.url, 60.0) is None


async def test_no_time_gives_no_figure() -> None:
    async with Simulator() as sim:
        assert await measure(sim.url, sim.url, 0.0) is None


@pytest.mark.parametrize(("part", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_quantile_is_the_smallest_value_that_the_part_does_not_exceed(part: float, value: int) -> None:
    assert quantile([float(n) for n in range(100, 0, -1)], part) == value
