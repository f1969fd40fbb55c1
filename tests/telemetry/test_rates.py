"""Requests and tokens of the last minutes."""

from lb.telemetry.rates import STEPS, Rates


class Source:
    """Totals that a test moves on."""

    def __init__(self) -> None:
        self.totals = {"a": (0, 0)}
        self.rates = Rates(lambda: dict(self.totals))
        self.now = 1000.0
        self.rates.tick(self.now)

    def after(self, seconds: float, **totals: tuple[int, int]) -> None:
        self.now += seconds
        self.totals |= totals
        self.rates.tick(self.now)

    def last(self, count: int, name: str = "a") -> list[tuple[int, int]]:
        (row,) = self.rates.document([name], tokens=True)["backends"]
        assert len(row["requests"]) == len(row["tokens"]) == STEPS
        return list(zip(row["requests"], row["tokens"], strict=True))[-count:]


def test_a_step_has_what_came_in_it() -> None:
    source = Source()
    source.after(1, a=(3, 300))
    assert source.last(1) == [(0, 0)]
    source.after(4, a=(5, 500))
    source.after(5, a=(6, 700))
    assert source.last(3) == [(0, 0), (5, 500), (1, 200)]


def test_steps_that_were_slept_through_are_empty() -> None:
    source = Source()
    source.after(20, a=(4, 40))
    assert source.last(4) == [(0, 0), (0, 0), (0, 0), (4, 40)]
    source.after(100_000, a=(5, 50))
    assert source.last(STEPS) == [(0, 0)] * (STEPS - 1) + [(1, 10)]


def test_a_backend_that_comes_later_begins_with_nothing() -> None:
    source = Source()
    source.after(5, a=(1, 1), b=(2, 2))
    assert source.last(2, "b") == [(0, 0), (2, 2)]
    assert source.last(1, "c") == [(0, 0)]


def test_tokens_that_are_not_counted_are_not_zero() -> None:
    source = Source()
    assert source.rates.document(["a"], tokens=False)["backends"][0]["tokens"] is None


def test_before_the_first_full_step_there_is_none() -> None:
    source = Source()
    assert source.rates.document(["a"], tokens=True)["last_step"] == 199
    assert Rates(dict).document(["a"], tokens=True)["last_step"] == -1
