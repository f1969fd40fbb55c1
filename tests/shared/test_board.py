"""The board: whatever the order of writes and looks, a reader ends with the latest statement about every key."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.balancing.peers import NOTHING, Belief, Ejection
from lb.shared.board import JOURNAL, Board, Reader, Writer
from lb.shared.slot import SIZE, pack, unpack

SAID = Belief(1007.0, 0.0, Ejection(1000.0, 1010.0, 10.0, 1000.0, True, False), 999.0, 1000.0, "HTTP 429")


def key(number: int) -> bytes:
    return (number + 1).to_bytes(16, "big")


def test_a_statement_survives_the_way_through_memory() -> None:
    assert unpack(pack(7, key(1), SAID), 7) == (key(1), SAID)


def test_a_slot_older_than_asked_for_is_not_taken() -> None:
    assert unpack(pack(7, key(1), SAID), 8) is None


def test_a_reason_too_long_or_cut_within_a_letter_is_shortened() -> None:
    found = unpack(pack(1, key(1), SAID._replace(reason="x" * 111 + "é" * 50)), 0)
    assert found is not None
    assert found[1].reason == "x" * 111


@given(st.integers(0, SIZE - 1), st.integers(1, 255))
def test_a_torn_slot_is_noticed(place: int, flip: int) -> None:
    raw = bytearray(pack(7, key(1), SAID))
    raw[place] ^= flip
    assert unpack(bytes(raw), 7) is None


def test_what_one_says_every_reader_hears_once() -> None:
    board = Board(2)
    readers = [Reader(board), Reader(board)]
    Writer(board, 1).say(key(1), SAID)
    for reader in readers:
        assert reader.news() == [(key(1), SAID)]
        assert reader.news() == []


def test_a_late_reader_finds_what_still_stands() -> None:
    board = Board(3)
    for column in range(3):
        Writer(board, column).say(key(column), SAID._replace(cooling_until=float(column)))
    assert dict(Reader(board).news()) == {key(n): SAID._replace(cooling_until=float(n)) for n in range(3)}


@pytest.mark.parametrize("statements", [JOURNAL - 1, JOURNAL, JOURNAL + 1, 3 * JOURNAL])
def test_a_reader_that_slept_misses_no_key_however_much_was_said(statements: int) -> None:
    board = Board(1)
    reader, writer = Reader(board), Writer(board, 0)
    writer.say(key(0), SAID)
    for number in range(statements):
        writer.say(key(1 + number % 100), SAID._replace(told=float(number)))
    found = dict(reader.news())
    assert found[key(0)] == SAID
    assert max(belief.told for belief in found.values()) == max(SAID.told, statements - 1.0)
    assert len(found) == 101
    assert reader.news() == []


def test_the_key_spoken_of_longest_ago_makes_room() -> None:
    board = Board(1, slots=3)
    writer = Writer(board, 0)
    for number in (1, 2, 3, 1, 4):
        writer.say(key(number), SAID)
    assert set(dict(Reader(board).news())) == {key(1), key(3), key(4)}


def test_a_version_that_is_seen_before_its_slot_is_waited_for() -> None:
    """As on a processor that makes writes visible in another order."""
    board = Board(1)
    reader, writer = Reader(board), Writer(board, 0)
    writer.say(key(1), SAID)
    assert reader.news()
    before = board.read(0, 0)
    later = SAID._replace(cooling_until=2000.0)
    writer.say(key(1), later)
    after = board.read(0, 0)
    board.write(0, 0, before)
    assert reader.news() == []
    board.write(0, 0, after[:40] + before[40:])
    assert reader.news() == []
    board.write(0, 0, after)
    assert reader.news() == [(key(1), later)]


def test_a_journal_entry_that_is_seen_late_is_waited_for() -> None:
    board = Board(1)
    reader, writer = Reader(board), Writer(board, 0)
    writer.say(key(1), SAID)
    place = board.journal(0, 1)
    entry, board.words[place] = board.words[place], 0
    assert reader.news() == []
    board.words[place] = entry
    assert reader.news() == [(key(1), SAID)]


class Interrupted(Board):
    """Something happens in the middle of writing a slot."""

    between: Callable[[], None] | None = None

    def write(self, column: int, index: int, slot: bytes) -> None:
        if self.between is not None:
            super().write(column, index, slot[: SIZE // 2] + self.read(column, index)[SIZE // 2 :])
            self.between()
        super().write(column, index, slot)


class Killed(Exception):
    pass


def killed() -> None:
    raise Killed


@pytest.mark.parametrize("fresh", [True, False], ids=["a new key", "a known key"])
def test_a_writer_killed_in_the_middle_of_a_slot_leaves_nothing_wrong_behind(fresh: bool) -> None:
    board = Interrupted(2)
    writer, reader = Writer(board, 0), Reader(board)
    writer.say(key(1), SAID)
    assert reader.news()
    board.between = killed
    with pytest.raises(Killed):
        writer.say(key(2 if fresh else 1), SAID._replace(cooling_until=3000.0))
    board.between = None
    assert reader.news() == []
    successor = Writer(board, 0)
    successor.say(key(3), SAID)
    assert reader.news() == [(key(3), SAID)]
    late = dict(Reader(board).news())
    assert late[key(3)] == SAID
    assert all(belief in (SAID, NOTHING) for belief in late.values())


def test_a_slot_torn_for_ever_does_not_keep_a_reader_from_the_rest() -> None:
    board = Interrupted(2)
    writer = Writer(board, 0)
    for _ in range(JOURNAL):
        writer.say(key(1), SAID)
    board.between = killed
    with pytest.raises(Killed):
        writer.say(key(2), SAID)
    board.between = None
    reader = Reader(board)
    Writer(board, 1).say(key(5), SAID)
    assert dict(reader.news())[key(5)] == SAID
    for _ in range(3000):
        reader.news()
    assert reader._known == board.versions(), "it still looks at the torn slot"


class Hall:
    """Three writers; two readers look at any moment, also while a slot is half written; writers are replaced."""

    def __init__(self) -> None:
        self.board = Interrupted(3, slots=4)
        self.writers = [Writer(self.board, column) for column in range(3)]
        self.readers = [Reader(self.board), Reader(self.board)]
        self.heard: list[dict[tuple[bytes, float], Belief]] = [{}, {}]
        self.said: dict[int, dict[bytes, Belief]] = {0: {}, 1: {}, 2: {}}
        self.everything: set[tuple[bytes, Belief]] = set()

    def say(self, column: int, name: bytes, belief: Belief, *, interrupt: bool) -> None:
        self.everything.add((name, belief))
        self.said[column].pop(name, None)
        self.said[column][name] = belief
        self.board.between = self.look if interrupt else None
        self.writers[column].say(name, belief)

    def look(self) -> None:
        for reader, known in zip(self.readers, self.heard, strict=True):
            for name, belief in reader.news():
                assert (name, belief) in self.everything
                known[name, belief.served] = belief


Step = tuple[int, int, int, bool]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 10_000), st.booleans()), max_size=120))
def test_looks_in_the_middle_of_writes_see_whole_statements_and_end_with_the_latest(steps: list[Step]) -> None:
    hall = Hall()
    for number, (column, name, value, interrupt) in enumerate(steps):
        if value % 17 == 0:
            hall.writers[column] = Writer(hall.board, column)
        belief = Belief(cooling_until=float(value), served=float(column), told=float(number))
        hall.say(column, key(name), belief, interrupt=interrupt)
        if value % 3 == 0:
            hall.look()
    hall.look()
    for column, said in hall.said.items():
        for name, belief in list(said.items())[-4:]:
            assert all(known[name, float(column)] == belief for known in hall.heard)
