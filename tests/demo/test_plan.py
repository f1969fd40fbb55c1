"""The promise behind the demo: there is always room, whatever the machine does."""

import itertools

from lb.demo.latency import ROUNDS, WARM_UP
from lb.demo.plan import (
    CHAT,
    CHAT_COST,
    EMBEDDING_COST,
    ENDPOINTS,
    KINDS,
    MOST,
    REPLY_TOKENS,
    kinds,
    messages,
    passages,
)
from lb.sim.faults import Rule
from lb.sim.tokens import estimate


def test_no_chat_request_costs_more_than_the_plan_reckons_with() -> None:
    for number in range(2000):
        body = {"messages": messages(number), "max_completion_tokens": REPLY_TOKENS}
        assert estimate(body, generates=True) <= CHAT_COST


def test_no_embeddings_request_costs_more_than_the_plan_reckons_with() -> None:
    for number in range(2000):
        assert estimate({"input": passages(number)}, generates=False) <= EMBEDDING_COST


def test_the_last_endpoint_could_take_everything_that_may_arrive_in_a_window() -> None:
    assert ENDPOINTS[-1].tpm >= MOST * max(CHAT_COST, EMBEDDING_COST)


def test_the_first_two_endpoints_are_overrun_at_the_intended_pace() -> None:
    first, second, _ = ENDPOINTS
    assert (first.tpm + second.tpm) / CHAT_COST < MOST / 2


def test_measuring_latency_does_not_overrun_the_endpoint_that_it_asks() -> None:
    assert ENDPOINTS[0].tpm >= 3 * (ROUNDS + WARM_UP)


def test_every_kind_of_request_has_its_turn() -> None:
    assert set(itertools.islice(kinds(), len(KINDS))) == set(KINDS)


def test_the_faults_that_slow_the_endpoints_down_are_known_to_the_simulator() -> None:
    for argument in ENDPOINTS[0].arguments():
        name, _, text = argument.partition("=")
        if name == "--fault":
            assert Rule.parse(text).target in (CHAT, "embedding")
