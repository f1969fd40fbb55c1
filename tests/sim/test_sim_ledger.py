"""The books."""

from lb.sim.ledger import Ledger, Usage
from lb.sim.records import Book, Received


def received(body: bytes) -> Received:
    return Received("POST", "/", (), body, 0.0)


def test_rows_are_kept_apart_and_can_be_summed():
    ledger = Ledger()
    ledger.add("a", "chat", "chat", Usage(3, 5, 1, 2))
    ledger.add("a", "emb", "embeddings", Usage(7))
    ledger.add("b", "chat", "chat", Usage(10, 1), reported=False, whole=False)
    assert ledger.sum("a").total == 15
    assert ledger.sum(deployment="chat").completion == 6
    both = ledger.sum()
    assert (both.requests, both.unreported, both.unfinished, both.cached, both.reasoning) == (3, 1, 1, 1, 2)
    assert len(ledger.rows()) == 3


def test_too_many_tenants_share_a_row():
    ledger = Ledger(bound=2)
    for tenant in "abcd":
        ledger.add(tenant, "chat", "chat", Usage(1))
    assert {row["tenant"] for row in ledger.rows()} == {"a", "b", "other"}
    assert ledger.sum().total == 4


def test_the_book_forgets_the_oldest_by_number_and_by_bytes():
    book = Book(most=3, most_bytes=10)
    for body in (b"1", b"22", b"333", b"4444"):
        book.add(received(body))
    assert [one.body for one in book] == [b"22", b"333", b"4444"]
    book.add(received(b"55555"))
    assert [one.body for one in book] == [b"4444", b"55555"]
    book.add(received(b"x" * 11))
    assert len(book) == 0
