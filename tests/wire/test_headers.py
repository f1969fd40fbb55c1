"""Which fields pass: the tables that the listener's tests do not walk one by one."""

import pytest

from lb.wire import headers
from lb.wire.headers import CONNECTION, DROP, NOTE, SINGLE, named_by, reply_head, request_rule


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (b"Accept", 0),
        (b"Cookie", 0),
        (b"Via", 0),
        (b"traceparent", 0),
        (b"x-ms-spillover-deployment", 0),
        (b"x-ms-token", 0),
        (b"Content-Type", NOTE | SINGLE),
        (b"CONTENT-ENCODING", NOTE),
        (b"X-Request-Id", NOTE),
        (b"hOsT", NOTE | DROP | SINGLE),
        (b"Content-Length", NOTE | DROP | SINGLE),
        (b"api-key", NOTE | DROP),
        (b"Authorization", NOTE | DROP),
        (b"Connection", CONNECTION | DROP),
        (b"X-API-Key", DROP),
        (b"X-Forwarded-Client-Cert", DROP),
        (b"X-ENVOY-anything", DROP),
        (b"X-MS-TOKEN-AAD-ACCESS-TOKEN", DROP),
        (b"X-MS-CLIENT-PRINCIPAL-ID", DROP),
        (b"TE", DROP),
    ],
)
def test_a_field_is_told_by_its_name_in_any_spelling(name: bytes, rule: int) -> None:
    assert request_rule(name) == (name.lower(), rule)
    assert request_rule(name) == (name.lower(), rule)


def test_strange_names_do_not_fill_the_memory() -> None:
    for number in range(10_000):
        request_rule(b"x-strange-%d" % number)
        reply_head(200, b"", [(b"x-strange-%d" % number, b"")], True, b"")
    request_rule(b"x" * 60_000)
    assert len(headers._requests) <= headers._REMEMBERED_MAX
    assert len(headers._replies) <= headers._REMEMBERED_MAX
    assert request_rule(b"X-Forwarded-Yet-Another") == (b"x-forwarded-yet-another", DROP)


def test_connection_names_are_read_from_all_its_lines() -> None:
    assert named_by([b"close, X-A ,,", b"\tx-b"]) == {b"close", b"x-a", b"x-b"}


def test_a_reply_cannot_name_its_length_away() -> None:
    head = reply_head(200, b"OK", [(b"Connection", b"Content-Length"), (b"Content-Length", b"3")], True, b"\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
