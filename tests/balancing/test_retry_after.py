"""How long a reply asks us to stay away, in every form that was seen and in forms that a stranger might make up."""

import math
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.verdict import DEFAULT_COOLDOWN, MIN_COOLDOWN, Judge, duration

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
NAMES = (
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "retry-after",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)


def cooldown(fields: dict[str, str], *, longest: float = 120.0) -> float:
    named = {name.encode(): value.encode() for name, value in fields.items()}
    return Judge(NOW.timestamp, longest).throttled("HTTP 429", named.get).seconds


def date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("retry-after-ms", "6500", 6.5),
        ("retry-after-ms", "250.5", 0.2505),
        ("x-ms-retry-after-ms", "1200", 1.2),
        ("retry-after", "7", 7.0),
        ("retry-after", " 7 ", 7.0),
        ("retry-after", "007", 7.0),
        ("retry-after", "+7", 7.0),
        ("retry-after", "7.", 7.0),
        ("retry-after", ".5", 0.5),
        ("retry-after", "1.5", 1.5),
        ("retry-after", "6.300000000000000266", 6.3),
        ("retry-after", "1e1", 10.0),
        ("retry-after", date(NOW + timedelta(seconds=9)), 9.0),
        ("x-ratelimit-reset-requests", "12", 12.0),
        ("x-ratelimit-reset-tokens", "6s", 6.0),
        ("x-ratelimit-reset-tokens", "1m30s", 90.0),
        ("x-ratelimit-reset-tokens", "250ms", 0.25),
        ("x-ratelimit-reset-tokens", "1s250ms", 1.25),
        ("x-ratelimit-reset-tokens", "1.5s", 1.5),
        ("x-ratelimit-reset-tokens", "1m", 60.0),
        ("x-ratelimit-reset-tokens", "6m0s", 120.0),
        ("x-ratelimit-reset-tokens", "1h", 120.0),
        ("x-ratelimit-reset-tokens", "2d3h", 120.0),
    ],
)
def test_every_form_is_understood(name: str, value: str, seconds: float) -> None:
    assert cooldown({name: value}) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["86400", "999999999999", "9" * 20, "9" * 400, "1e300", "1e999", "121"])
@pytest.mark.parametrize("name", NAMES[2:])
def test_however_much_is_asked_for_is_clamped(name: str, value: str) -> None:
    assert cooldown({name: value}) == 120.0
    assert cooldown({name: value}, longest=60.0) == 60.0


def test_a_date_years_ahead_is_clamped() -> None:
    assert cooldown({"retry-after": date(NOW + timedelta(days=900))}) == 120.0


@pytest.mark.parametrize("value", ["0.001", "0.0000000000000000001", "1e-9"])
def test_next_to_nothing_makes_no_hot_loop(value: str) -> None:
    assert cooldown({"retry-after": value}) == MIN_COOLDOWN


HOSTILE = ["", " ", "0", "-0", "0.0", "-1", "-7.5", "-inf", "inf", "infinity", "nan", "NaN", "1_000", "1,000", "0x10",
           "7s7", "seven", "7 seconds", "7;8", "7, 8", "--7", "1.2.3", "e5", "1e", "1e9999", "\u0667", "\uff17",
           "\u00b2", "7\x00", "Thu, 32 Nov 2026 10:00:00 GMT", "Sat, 21 Nov 2026 99:99:99 GMT", "GMT",
           "Sat,", ",", ":", "0 0 0 0 0", "Sat, 21 Nov 99999 10:00:00 GMT",
           "Sat, 21 Nov 2026 10:00:00 +99999999",
           "Fri, 20 Nov 2026 10:00:00 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_zero_negative_past_or_unreadable_counts_as_not_said(name: str, value: str) -> None:
    assert cooldown({name: value}) == DEFAULT_COOLDOWN


@pytest.mark.parametrize("value", HOSTILE)
def test_what_counts_as_not_said_leaves_the_word_to_the_next_header(value: str) -> None:
    for at, name in enumerate(NAMES[:-1]):
        assert cooldown({name: value, NAMES[at + 1]: "6000" if NAMES[at + 1].endswith("ms") else "6"}) == 6.0


def test_the_headers_are_read_in_azures_order() -> None:
    said = {"retry-after-ms": "1000", "x-ms-retry-after-ms": "2000", "retry-after": "3",
            "x-ratelimit-reset-requests": "4", "x-ratelimit-reset-tokens": "5"}  # fmt: skip
    for at, name in enumerate(NAMES, 1):
        assert cooldown(said) == at
        del said[name]
    assert cooldown(said) == DEFAULT_COOLDOWN


def test_a_date_is_measured_against_the_replys_own_date_so_that_a_wrong_clock_does_not_matter() -> None:
    wrong = NOW - timedelta(hours=5)
    assert cooldown({"retry-after": date(wrong + timedelta(seconds=8)), "date": date(wrong)}) == 8.0


def test_an_unreadable_date_field_leaves_our_own_clock() -> None:
    assert cooldown({"retry-after": date(NOW + timedelta(seconds=8)), "date": "yesterday"}) == 8.0


@pytest.mark.parametrize(
    "form",
    [
        "Sat, 21 Nov 2026 10:00:08 GMT",
        "Saturday, 21-Nov-26 10:00:08 GMT",
        "Sat Nov 21 10:00:08 2026",
        "Sat, 21 Nov 2026 10:00:08 -0000",
        "Sat, 21 Nov 2026 12:00:08 +0200",
    ],
)
@pytest.mark.parametrize("zone", ["UTC0", "EAST-14", "WEST+8"])
def test_the_three_date_forms_of_http_mean_utc_wherever_this_machine_stands(
    form: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert cooldown({"retry-after": form}) == 8.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.dictionaries(st.sampled_from([*NAMES, "date"]), st.text(max_size=40)))
def test_no_text_whatever_breaks_it_or_leaves_the_bounds(fields: dict[str, str]) -> None:
    assert MIN_COOLDOWN <= cooldown(fields) <= 120.0


PART = st.one_of(
    st.sampled_from(["Sat,", "21", "Nov", "2026", "10:00:00", "GMT", "+0000", "-", ":", "99"]), st.text(max_size=4)
)


@given(st.lists(PART, max_size=8).map(" ".join), st.lists(PART, max_size=8).map(" ".join))
def test_no_broken_date_breaks_it(retry_after: str, sent: str) -> None:
    assert MIN_COOLDOWN <= cooldown({"retry-after": retry_after, "date": sent}) <= 120.0


@given(st.floats(min_value=0.1, max_value=120.0))
def test_any_positive_number_within_the_bounds_is_taken_as_it_is(seconds: float) -> None:
    assert cooldown({"retry-after": repr(seconds)}) == seconds
    assert cooldown({"retry-after-ms": repr(seconds * 1000)}) == pytest.approx(seconds)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 999))
def test_a_duration_is_the_sum_of_its_parts(minutes: int, seconds: int, milliseconds: int) -> None:
    expected = minutes * 60 + seconds + milliseconds / 1000
    text = f"{minutes}m{seconds}s{milliseconds}ms".encode()
    assert duration(text) == pytest.approx(expected)


@given(st.integers(-14, 14), st.integers(1, 120))
def test_a_date_in_any_zone_is_the_same_moment(hours: int, seconds: int) -> None:
    moment = (NOW + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=hours)))
    assert cooldown({"retry-after": format_datetime(moment)}) == seconds


def test_the_verdict_remembers_what_was_asked_before_it_was_clamped() -> None:
    judge = Judge(NOW.timestamp)
    assert judge.throttled("HTTP 429", {b"retry-after": b"86400"}.get).asked == 86400.0
    assert judge.throttled("HTTP 429", {b"retry-after": b"1e999"}.get).asked == math.inf
    assert judge.throttled("HTTP 429", {b"retry-after": b"0"}.get).asked is None
