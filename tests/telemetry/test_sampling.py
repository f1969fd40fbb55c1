"""Which requests are recorded, and what their callers say of their trace."""

import random

import pytest

from lb.telemetry.otel.sampling import Parent, Plain, Sampler, read_parent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a test's ids


def fields(*pairs: tuple[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in (("Accept", "*/*"), *pairs, ("X-Last", "1"))).encode()


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT"])
def test_the_callers_span_is_read_in_any_spelling(name: str) -> None:
    found = read_parent(fields((name, GOOD), ("TraceState", "a=1"), ("tracestate", "b=2")))
    assert found == Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), True, b"a=1,b=2")


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (GOOD, True),
        (GOOD[:-2] + "00", False),
        (GOOD[:-2] + "03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_flags_and_later_versions_are_understood(value: str, sampled: bool) -> None:
    found = read_parent(fields(("traceparent", value)))
    assert found is not None
    assert found.sampled is sampled


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        GOOD.upper(),
        GOOD + "-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-1",
        "x" * 5000,
    ],
)
def test_what_is_no_context_is_none(value: str) -> None:
    assert read_parent(fields(("traceparent", value))) is None


def test_two_parents_are_none() -> None:
    assert read_parent(fields(("traceparent", GOOD), ("Traceparent", GOOD))) is None


def test_a_value_that_looks_like_a_field_is_none() -> None:
    assert read_parent(fields(("X-Note", f"traceparent: {GOOD}"))) is None


def test_a_long_state_is_left_out() -> None:
    found = read_parent(fields(("traceparent", GOOD), ("tracestate", "a=" + "x" * 600)))
    assert found is not None
    assert found.state == b""


def test_a_share_of_new_traces_is_recorded() -> None:
    sampler = Sampler(0.1, seeded(7))
    found = [sampler.root() for _ in range(20_000)]
    ids = [trace_id for trace_id in found if trace_id is not None]
    assert 1800 < len(ids) < 2200
    assert len(set(ids)) == len(ids)
    assert {len(trace_id) for trace_id in ids} == {16}


@pytest.mark.parametrize(("ratio", "wanted"), [(0.0, 0), (1.0, 100)])
def test_none_and_all(ratio: float, wanted: int) -> None:
    sampler = Sampler(ratio, seeded(1))
    assert sum(sampler.root() is not None for _ in range(100)) == wanted


def test_a_share_is_the_same_for_everybody_who_looks_at_the_id() -> None:
    """So that all services on the way record the same traces."""
    here, there = (Sampler(0.5, seeded(seed), by_parent=False) for seed in (1, 2))
    for number in range(200):
        parent = Parent(seeded(number).randbytes(16), b"12345678", False, b"")
        assert here.takes(parent) is there.takes(parent)


@pytest.mark.parametrize("sampled", [True, False])
def test_a_caller_that_has_decided_is_followed(sampled: bool) -> None:
    parent = Parent(b"\xff" * 16, b"12345678", sampled, b"")
    assert Sampler(0.5, seeded(1)).takes(parent) is sampled
    assert Sampler(0.5, seeded(1), by_parent=False).takes(parent) is False


def test_fields_without_a_context_are_known_again_and_the_memory_for_that_is_bounded() -> None:
    plain = Plain()
    for number in range(3000):
        told = fields(("x-request-id", str(number)))
        assert told in plain
        assert told in plain
        assert fields(("TraceParent", GOOD), ("x-request-id", str(number))) not in plain
    assert fields(("x-long", "x" * 5000)) in plain
    assert 0 < sum(map(len, plain._known)) < 1024 * 1024
