"""The limits, without a socket."""

from hypothesis import given
from hypothesis import strategies as st

from lb.sim.limits import Limiter
from lb.sim.settings import Limit
from lb.sim.tokens import estimate, prompt_tokens


def test_without_limits_everything_is_let_in():
    limiter = Limiter(Limit())
    assert all(limiter.admit(10_000, now).refused is None for now in range(100))


def test_tokens_are_refused_until_the_minute_is_over():
    limiter = Limiter(Limit(tpm=100))
    assert limiter.admit(60, 10.0).remaining_tokens == 40
    refused = limiter.admit(60, 30.0)
    assert (refused.refused, refused.wait) == ("token", 40.0)
    assert limiter.admit(60, 69.9).refused == "token"
    assert limiter.admit(60, 70.0).refused is None


def test_a_smaller_request_still_fits_after_a_larger_one_was_refused():
    limiter = Limiter(Limit(tpm=100))
    limiter.admit(60, 0.0)
    limiter.admit(60, 1.0)
    assert limiter.admit(40, 2.0).refused is None


def test_minutes_follow_each_other_without_a_gap():
    limiter = Limiter(Limit(tpm=10))
    limiter.admit(10, 0.0)
    limiter.admit(10, 130.0)
    assert limiter.admit(10, 131.0).wait == 49.0


def test_requests_are_counted_by_the_second():
    limiter = Limiter(Limit(rpm=120))
    assert [limiter.admit(1, 0.0).refused for _ in range(3)] == [None, None, "call"]
    assert limiter.admit(1, 1.0).refused is None


def test_requests_are_counted_over_ten_seconds_too():
    limiter = Limiter(Limit(rpm=6))
    assert limiter.admit(1, 0.0).refused is None
    refused = limiter.admit(1, 2.0)
    assert (refused.refused, refused.wait) == ("call", 8.0)


def test_knocking_while_refused_uses_up_the_next_slices():
    patient, knocking = Limiter(Limit(rpm=60)), Limiter(Limit(rpm=60))
    for tenth in range(9):
        knocking.admit(1, tenth / 10)
    knocking.admit(1, 0.95)
    patient.admit(1, 0.0)
    assert patient.admit(1, 1.0).refused is None
    assert knocking.admit(1, 1.0).wait == 9.0


def test_refused_requests_need_not_count():
    limiter = Limiter(Limit(rpm=60), refused_count=False)
    for tenth in range(10):
        limiter.admit(1, tenth / 10)
    assert limiter.admit(1, 1.0).refused is None


def test_a_limit_of_nothing_refuses_all_tokens():
    assert Limiter(Limit(tpm=0)).admit(1, 0.0).refused == "token"


def test_a_minute_may_be_shorter():
    limiter = Limiter(Limit(tpm=10), minute=2.0)
    limiter.admit(10, 0.0)
    assert limiter.admit(10, 1.5).wait == 0.5
    assert limiter.admit(10, 2.0).refused is None


@given(
    st.integers(0, 500),
    st.lists(st.tuples(st.floats(0, 40, allow_nan=False), st.integers(1, 200)), min_size=1, max_size=60),
)
def test_no_minute_lets_in_more_than_its_tokens_and_the_wait_is_true(tpm, steps):
    limiter, now, opened, let_in = Limiter(Limit(tpm=tpm)), 0.0, None, 0
    for pause, tokens in steps:
        now += pause
        if opened is None:
            opened = now
        while now >= opened + 60:
            opened, let_in = opened + 60, 0
        standing = limiter.admit(tokens, now)
        if standing.refused:
            assert let_in + tokens > tpm
            assert abs(now + standing.wait - (opened + 60)) < 1e-6
        else:
            let_in += tokens
        assert let_in <= tpm


@given(st.integers(1, 600), st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=100))
def test_after_the_wait_that_was_named_a_request_is_let_in(rpm, pauses):
    limiter, now = Limiter(Limit(rpm=rpm)), 0.0
    for pause in pauses:
        now += pause
        standing = limiter.admit(1, now)
        if standing.refused:
            now += standing.wait + 1e-6
            assert limiter.admit(1, now).refused is None


def test_the_estimate_counts_the_prompt_and_the_longest_answer_wanted():
    body = {"messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 50, "n": 2}
    assert prompt_tokens(body) == 100
    assert estimate(body, generates=True) == 200
    assert estimate({"prompt": "x" * 40, "max_tokens": 5, "best_of": 3}, generates=True) == 25
    assert estimate({"input": ["x" * 40, "y" * 40]}, generates=False) == 20


def test_the_estimate_reads_parts_and_input_items_and_token_ids():
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 80}]}]}
    assert prompt_tokens(parts) == 20
    items = {
        "instructions": "x" * 40,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "y" * 40}]}],
    }
    assert prompt_tokens(items) == 20
    assert prompt_tokens({"input": [[1, 2, 3], [4, 5]]}) == 5
