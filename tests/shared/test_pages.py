"""Pages: a reader always finds one whole side."""

import pytest

from lb.shared.pages import Pages


def test_what_is_written_last_is_shown_with_its_writer() -> None:
    pages = Pages(2, capacity=64)
    assert pages.read(0) is None
    for content in (b"one", b"two", b"three"):
        assert pages.write(0, 17, content)
        page = pages.read(0)
        assert page is not None
        assert (page.pid, page.content) == (17, content)
    assert pages.read(1) is None


def test_a_page_tells_which_question_it_knew_of() -> None:
    pages = Pages(1, capacity=64)
    pages.write(0, 1, b"before")
    question = pages.ask()
    page = pages.read(0)
    assert page is not None
    assert page.answers < question
    pages.write(0, 1, b"after")
    page = pages.read(0)
    assert page is not None
    assert page.answers == question == pages.question


def test_too_much_is_refused_and_the_old_page_stays() -> None:
    pages = Pages(1, capacity=8)
    pages.write(0, 1, b"fits")
    assert not pages.write(0, 1, b"does not fit")
    page = pages.read(0)
    assert page is not None
    assert page.content == b"fits"


@pytest.mark.parametrize("turned", [1, 2])
def test_a_page_half_written_is_not_shown(turned: int) -> None:
    """Its writer was killed before it turned the page."""
    pages = Pages(1, capacity=8)
    for number in range(turned):
        pages.write(0, 1, b"side %d" % number)
    hidden = 8 + 64 + (turned + 1) % 2 * 8
    pages._memory[hidden : hidden + 4] = b"torn"
    page = pages.read(0)
    assert page is not None
    assert page.content == b"side %d" % (turned - 1)


def test_a_head_torn_by_the_death_of_its_writer_shows_nothing_until_the_successor_writes() -> None:
    pages = Pages(1, capacity=8)
    pages.write(0, 1, b"one")
    pages._memory[8 + 3] ^= 0xFF
    assert pages.read(0) is None
    pages.write(0, 2, b"two")
    page = pages.read(0)
    assert page is not None
    assert (page.pid, page.content) == (2, b"two")
