"""Which backend a prompt is sent to again, and when it goes elsewhere."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.backend import Backend
from lb.balancing.health import Health, Site
from lb.balancing.pool import Pool
from lb.balancing.sticky import Home, key_of, sticky
from lb.balancing.verdict import Throttled

CHAT = b'{"model":"gpt","messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"hi"}]'


def cells(weights: str = "1 1 1") -> list[Health]:
    return [
        Health(Site(Backend(f"b{number}", f"https://b{number}.example", weight=int(weight))), "chat")
        for number, weight in enumerate(weights.split())
    ]


def keys(count: int) -> list[bytes]:
    return [b"key-%d" % number for number in range(count)]


def test_the_same_key_goes_to_the_same_backend_in_any_order_of_backends() -> None:
    three = cells()
    for key in keys(50):
        chosen = sticky(three, key)
        assert chosen is not None
        assert sticky(three[::-1], key) is chosen


def test_when_a_backend_leaves_only_its_own_keys_move() -> None:
    three = cells()
    before = {key: sticky(three, key) for key in keys(300)}
    left = three[:2]
    for key, chosen in before.items():
        if chosen is not three[2]:
            assert sticky(left, key) is chosen


@pytest.mark.parametrize(("weights", "shares"), [("1 1 1", (1 / 3, 1 / 3, 1 / 3)), ("1 3", (0.25, 0.75))])
def test_keys_are_shared_out_by_weight(weights: str, shares: tuple[float, ...]) -> None:
    these = cells(weights)
    counts = Counter(id(sticky(these, key)) for key in keys(3000))
    for cell, share in zip(these, shares, strict=True):
        assert counts[id(cell)] / 3000 == pytest.approx(share, abs=0.04)


def test_one_hot_key_does_not_overload_its_backend() -> None:
    three = cells()
    for _ in range(90):
        chosen = sticky(three, b"hot")
        assert chosen is not None
        chosen.in_flight += 1
    assert max(cell.in_flight for cell in three) <= 30 * 1.25 + 5


@given(st.lists(st.integers(0, 200), min_size=2, max_size=6), st.binary(min_size=1, max_size=20))
def test_whoever_is_chosen_is_near_its_share(loads: list[int], key: bytes) -> None:
    these = cells(" ".join("1" for _ in loads))
    for cell, load in zip(these, loads, strict=True):
        cell.in_flight = load
    chosen = sticky(these, key)
    assert chosen is not None  # somebody is always below the average
    assert chosen.in_flight < (sum(loads) + 1) / len(loads) * 1.25 + 4


def test_it_yields_at_once_to_throttling_and_comes_back() -> None:
    backends = [Backend(f"b{number}", f"https://b{number}.example") for number in range(3)]
    pool = Pool(backends, lambda fact: None)

    def ask(now: float) -> str:
        attempt = pool.begin(now, "chat", set(), "r", key=b"conversation")
        assert attempt is not None
        pool.release(attempt)
        return attempt.backend.name

    favourite = ask(0.0)
    assert {ask(0.0) for _ in range(20)} == {favourite}
    attempt = pool.begin(0.0, "chat", set(), "r", key=b"conversation")
    assert attempt is not None
    pool.learn(0.0, attempt, Throttled(7.0, "HTTP 429"))
    pool.release(attempt)
    others = {ask(1.0) for _ in range(20)}
    assert len(others) == 1
    assert favourite not in others
    assert ask(7.1) == favourite


def test_a_paid_for_tier_comes_before_any_key() -> None:
    backends = [
        Backend("ptu", "https://ptu.example", priority=1),
        Backend("paygo", "https://paygo.example", priority=2),
    ]
    pool = Pool(backends, lambda fact: None)
    for key in keys(20):
        attempt = pool.begin(0.0, "chat", set(), "r", key=key)
        assert attempt is not None
        assert attempt.backend.name == "ptu"


def test_the_key_is_what_the_request_tells_else_the_beginning_of_its_prompt() -> None:
    told = CHAT + b',"prompt_cache_key": "conversation 7"}'
    assert key_of(told) == b"conversation 7"
    assert key_of(told, told=False) == b""
    assert key_of(CHAT + b"}") == b""
    by_prefix = key_of(CHAT + b"}", 60)
    assert by_prefix
    assert by_prefix == key_of(b'{"temperature":1,' + CHAT[1:-5] + b'else"}]}', 60)
    assert by_prefix != key_of(CHAT.replace(b"terse", b"wordy") + b"}", 60)
    assert key_of(b'{"input":"x","instructions":"be terse"}', 60) == key_of(b'{"instructions":"be terse"}', 60)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"prompt_cache_key":null}', b'{"prompt_cache_key":""}', b"\xff" * 100])
def test_without_a_key_there_is_none(body: bytes) -> None:
    assert key_of(body, 100) == b""


def test_a_home_stays_however_loaded_it_is() -> None:
    three = cells()
    home = sticky(three, Home.of("alice"))
    assert home is not None
    home.in_flight = 1000
    assert sticky(three[::-1], Home.of("alice")) is home


def test_callers_are_spread_over_homes_and_strangers_have_one() -> None:
    three = cells()
    counts = Counter(id(sticky(three, Home.of(f"caller-{number}"))) for number in range(600))
    assert min(counts.values()) > 150
    assert sticky(three, Home.of(None)) is sticky(three, Home.of(""))


def test_when_a_home_is_out_the_next_in_its_order_takes_its_place() -> None:
    three = cells()
    home = sticky(three, Home.of("alice"))
    rest = [cell for cell in three if cell is not home]
    assert sticky(rest, Home.of("alice")) is sticky(rest[::-1], Home.of("alice"))
