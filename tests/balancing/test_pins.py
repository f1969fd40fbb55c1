"""The table of pins: bounded, shared, and never wrong about whose something is."""

from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.pins import NOBODY, WAYS, Pin, Pins, size_of, tag

EAST, WEST = tag("east"), tag("west")
ADA, BOB = tag("tenant", "ada"), tag("tenant", "bob")


def table(entries: int = 1000) -> Pins:
    return Pins(bytearray(size_of(entries)))


def test_what_was_learned_is_found() -> None:
    pins = table()
    pins.learn(b"resp_1", EAST, ADA)
    assert pins.find(b"resp_1") == Pin(EAST, ADA)
    assert pins.find(b"resp_2") is None


def test_whose_it_is_does_not_change_once_it_is_known() -> None:
    pins = table()
    pins.learn(b"resp_1", EAST, NOBODY)
    pins.learn(b"resp_1", EAST, ADA)
    pins.learn(b"resp_1", WEST, BOB)
    assert pins.find(b"resp_1") == Pin(WEST, ADA)
    pins.learn(b"resp_1", WEST, NOBODY)
    assert pins.find(b"resp_1") == Pin(WEST, ADA)
    assert pins.held == 1


def test_who_was_asked_for_longest_ago_makes_room() -> None:
    pins = table(WAYS)  # one bucket
    names = [b"file-%d" % number for number in range(WAYS)]
    for name in names:
        pins.learn(name, EAST, ADA)
    assert pins.find(names[0]) is not None
    pins.learn(b"file-new", EAST, ADA)
    assert pins.find(names[0]) is not None
    assert pins.find(names[1]) is None
    assert pins.held == WAYS


def test_most_of_what_fits_is_held() -> None:
    pins = table(10_000)
    names = [b"resp_%d" % number for number in range(10_000)]
    for name in names:
        pins.learn(name, EAST, ADA)
    found = sum(pins.find(name) is not None for name in names)
    assert found == pins.held > 8_000


def test_workers_see_what_others_learned() -> None:
    memory = bytearray(size_of(100))
    Pins(memory).learn(b"resp_1", EAST, ADA)
    assert Pins(memory).find(b"resp_1") == Pin(EAST, ADA)


@given(st.integers(0, 35), st.integers(1, 255))
def test_a_torn_entry_was_never_there(place: int, change: int) -> None:
    memory = bytearray(size_of(WAYS))
    pins = Pins(memory)
    pins.learn(b"resp_1", EAST, ADA)
    memory[place] ^= change
    assert pins.find(b"resp_1") is None


@given(
    st.lists(
        st.tuples(st.sampled_from(range(40)), st.sampled_from([EAST, WEST]), st.sampled_from([NOBODY, ADA, BOB])),
        max_size=200,
    )
)
def test_it_never_holds_more_than_it_may_and_what_it_tells_was_said(said: list[tuple[int, bytes, bytes]]) -> None:
    memory = bytearray(size_of(16))
    pins = Pins(memory)
    last: dict[bytes, bytes] = {}
    tenants: dict[bytes, set[bytes]] = {}
    for number, owner, tenant in said:
        name = b"id-%d" % number
        pins.learn(name, owner, tenant)
        last[name] = owner
        tenants.setdefault(name, {NOBODY}).add(tenant)
        found = pins.find(name)
        assert found is not None
        assert found.owner == owner
    for name, owner in last.items():
        found = pins.find(name)
        assert found is None or (found.owner == owner and found.tenant in tenants[name])
    assert pins.held <= 16
    assert len(memory) == size_of(16)
