"""What is costly to look at is looked at seldom."""

from lb.telemetry.seldom import PART, Seldom


class Costly:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 100.0
        self.made = 0
        self.look = Seldom(self.make, lambda: self.now)

    def make(self) -> int:
        self.now += self.seconds
        self.made += 1
        return self.made


def test_it_takes_a_small_part_of_the_time_however_often_it_is_asked_for() -> None:
    costly = Costly(0.04)
    began = costly.now
    for _ in range(1000):
        costly.look()
        costly.now += 0.01
    assert costly.made * 0.04 <= (costly.now - began) / PART + 0.04
    assert costly.made >= 4


def test_what_costs_nothing_is_always_fresh() -> None:
    cheap = Costly(0.0)
    assert [cheap.look() for _ in range(3)] == [1, 2, 3]
