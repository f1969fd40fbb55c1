"""A request's fields exist twice, as pairs and rendered: what changes one changes the other."""

from fakes import request

from lb.exchange import render

PAIRS = [(b"Accept", b"*/*"), (b"X-A", b"1"), (b"x-b", b"x-a: 2"), (b"X-a", b"3"), (b"X-C", b"4")]


def test_what_is_dropped_is_gone_from_both_in_any_spelling() -> None:
    asked = request(headers=PAIRS)
    asked.drop(b"x-a", b"x-c")
    assert asked.headers == [PAIRS[0], PAIRS[2]]
    assert asked.fields == b"Accept: */*\r\nx-b: x-a: 2\r\n"


def test_where_there_is_nothing_to_drop_nothing_is_rendered_again() -> None:
    asked = request(headers=PAIRS)
    headers, fields = asked.headers, asked.fields
    asked.drop(b"traceparent", b"tracestate")
    assert asked.headers is headers
    assert asked.fields is fields


def test_what_is_added_stands_last_in_both_and_in_no_other_request() -> None:
    asked, same = request(headers=PAIRS), request(headers=PAIRS)
    asked.add(b"Accept-Encoding", b"identity")
    assert asked.fields == render(asked.headers) == same.fields + b"Accept-Encoding: identity\r\n"
    assert same.fields == render(PAIRS)
