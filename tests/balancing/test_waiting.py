"""Whose turn it is, among those that wait."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.asker import Asker
from lb.balancing.waiting import Waiting


@dataclass(eq=False)
class Guest:
    asker: Asker
    number: int = 0


def guests(asker: Asker, count: int) -> list[Guest]:
    return [Guest(asker, number) for number in range(count)]


def waiting(*crowd: list[Guest]) -> Waiting[Guest]:
    queue = Waiting[Guest]()
    for party in crowd:
        for guest in party:
            queue.join(guest)
    return queue


def turns(queue: Waiting[Guest], count: int) -> list[Guest]:
    found = []
    for _ in range(count):
        found.append(queue.heads()[0])
        queue.serve(found[-1])
    return found


ADA, BOB, EVE = (Asker(name) for name in ("ada", "bob", "eve"))


def test_those_of_one_asker_go_in_the_order_in_which_they_came() -> None:
    assert [guest.number for guest in turns(waiting(guests(ADA, 5)), 5)] == [0, 1, 2, 3, 4]


def test_askers_take_turns_however_many_each_has_waiting() -> None:
    order = [guest.asker.name for guest in turns(waiting(guests(ADA, 50), guests(BOB, 3), guests(EVE, 3)), 9)]
    assert Counter(order) == {"ada": 3, "bob": 3, "eve": 3}


def test_turns_are_by_weight() -> None:
    order = turns(waiting(guests(Asker("ada", weight=3), 40), guests(Asker("bob", weight=1), 40)), 40)
    assert Counter(guest.asker.name for guest in order) == {"ada": 30, "bob": 10}
    assert Counter(guest.asker.name for guest in order[:8]) == {"ada": 6, "bob": 2}


def test_a_better_class_goes_first_even_if_it_comes_later() -> None:
    queue = waiting(guests(ADA, 3), guests(Asker("vip", priority=0), 2))
    assert [guest.asker.name for guest in turns(queue, 5)] == ["vip", "vip", "ada", "ada", "ada"]


def test_who_was_away_is_owed_nothing() -> None:
    queue = waiting(guests(ADA, 100))
    turns(queue, 50)
    for guest in guests(BOB, 50):
        queue.join(guest)
    assert Counter(guest.asker.name for guest in turns(queue, 20)) == {"ada": 10, "bob": 10}


def test_leaving_and_coming_back_does_not_help() -> None:
    queue = waiting(guests(BOB, 10))
    served = Counter[str]()
    for _ in range(6):
        impatient = Guest(ADA)
        queue.join(impatient)
        for guest in turns(queue, 1):
            served[guest.asker.name] += 1
        queue.leave(impatient)
    assert served["ada"] <= 3


def test_who_comes_back_without_success_keeps_its_place_and_its_turn() -> None:
    queue = waiting(guests(ADA, 3), guests(BOB, 3))
    first, second = turns(queue, 2)
    assert (first.asker, second.asker) == (ADA, BOB)
    queue.join(second, back=True)
    assert queue.heads()[0] is second
    queue.serve(second)
    queue.join(second, back=True)
    (alone,) = guests(EVE, 1)
    queue.join(alone)
    queue.serve(alone)
    queue.join(alone, back=True)
    assert alone in queue.heads()


def test_who_left_is_forgotten() -> None:
    first, second = guests(ADA, 2)
    queue = waiting([first, second])
    queue.leave(first)
    queue.leave(first)
    assert queue.heads() == [second]
    queue.leave(second)
    assert (len(queue), queue.heads()) == (0, [])


def test_without_room_the_last_of_a_lower_class_goes() -> None:
    low = guests(Asker("low", priority=5), 2)
    queue = waiting(guests(ADA, 5), low)
    assert queue.makes_room(ADA) is low[1]
    assert queue.makes_room(Asker("lower", priority=9)) is None


def test_within_a_class_who_has_most_waiting_for_its_weight_makes_room() -> None:
    many = guests(ADA, 5)
    queue = waiting(many, guests(BOB, 2))
    assert queue.makes_room(BOB) is many[4]
    assert queue.makes_room(EVE) is many[4]
    assert queue.makes_room(ADA) is None
    assert waiting(guests(Asker("ada", weight=5), 5), guests(BOB, 1)).makes_room(EVE) is None
    assert Waiting[Guest]().makes_room(ADA) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=80), st.data())
def test_nobody_of_the_best_class_waits_longer_than_its_weight_asks_for(
    moves: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Between two turns of one that keeps waiting, another of its class gets no more than its share, and one."""
    weights = {"a": 1, "b": 2, "c": 4}
    queue = Waiting[Guest]()
    steady = Asker("a", 1, weights["a"])
    for guest in guests(steady, 200):
        queue.join(guest)
    since: Counter[str] = Counter()
    for name, move in moves:
        if move:
            queue.join(Guest(Asker(name, 1, weights[name])))
        (guest,) = turns(queue, 1)
        since[guest.asker.name] += 1
        if guest.asker.name == "a":
            since.clear()
        assert all(count <= weights[other] + 1 for other, count in since.items())
