"""Which fields pass: the tables that the listener's tests do not walk one by one."""

import pytest

from lb.wire.headers import CONNECTION, COOKIES, DROP, NOTE, REPLY_RULES, REQUEST_RULES, SINGLE, filtered_head, named_by


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (b"Accept", 0),
        (b"Cookie", COOKIES | DROP),
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
    for _ in range(2):
        assert REQUEST_RULES[name] == ((name.lower(), rule) if rule else None)


def test_strange_names_do_not_fill_the_memory() -> None:
    for rules in (REQUEST_RULES, REPLY_RULES):
        for number in range(10_000):
            assert rules[b"x-strange-%d" % number] is None
        assert rules[b"x" * 60_000] is None
        assert len(rules) <= 4096
    assert REQUEST_RULES[b"X-Forwarded-Yet-Another"] == (b"x-forwarded-yet-another", DROP)


def test_connection_names_are_read_from_all_its_lines() -> None:
    assert named_by([b"close, X-A ,,", b"\tx-b"]) == {b"close", b"x-a", b"x-b"}


def test_a_reply_cannot_name_its_length_away() -> None:
    head = filtered_head(200, b"OK", [(b"Connection", b"Content-Length"), (b"Content-Length", b"3")], True, b"\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
