"""A usage that is the last member is read at once. That must say what the thorough way says, by either parser."""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from lb.metering.tail import Tail, at_the_end
from lb.metering.usage import Usage

PLAIN = b'"prompt_tokens":25,"completion_tokens":60,"total_tokens":85'
ENDINGS = [
    b'{"id":"c","usage":{%b}}' % PLAIN,
    b'{"id":"c","usage": {%b}}' % PLAIN,
    b'{"id":"c","usage" :\n{%b}}' % PLAIN,
    b'{"id":"c","usage":{%b}}\n' % PLAIN,
    b'{"id":"c","usage":{%b} }' % PLAIN,
    b'{"id":"c","usage":{%b},"service_tier":"default"}' % PLAIN,
    b'{"id":"c","usage":{%b},"x":{"y":1}}' % PLAIN,
    b'{"id":"c","usage":{%b,"prompt_tokens":26}}' % PLAIN,
    b'{"id":"c","usage":{%b,"prompt_tokens_details":{"cached_tokens":7}}}' % PLAIN,
    b'{"id":"c","usage":{%b,"cost":NaN}}' % PLAIN,
    b'{"id":"c","usage":{%b,"note":"\\ud800"}}' % PLAIN,
    b'{"id":"c","usage":{%b,"note":"\xff"}}' % PLAIN,
    b'{"id":"c","usage":{"prompt_tokens":99999999999999999999,"completion_tokens":1,"total_tokens":2}}',
    b'{"id":"c","usage":{"prompt_tokens":1.0,"completion_tokens":2.0,"total_tokens":3.0}}',
    b'{"id":"c","usage":{"prompt_tokens":-1,"completion_tokens":2,"total_tokens":1}}',
    b'{"id":"c","usage":{}}',
    b'{"id":"c","usage":null}',
    b'{"content":"\\"usage\\":{%b}}"}' % PLAIN.replace(b'"', b'\\"'),
    b'{"usage":{%b},"tools":[{"usage":{"prompt_tokens":9}}]}' % PLAIN,
]


def thorough(text: bytes) -> Usage | None:
    tail = Tail()
    tail.feed(text)
    return tail.usage(1)


@pytest.mark.parametrize("parse", [json.loads, orjson.loads], ids=["json", "orjson"])
@pytest.mark.parametrize("text", ENDINGS)
def test_the_quick_way_says_what_the_thorough_one_says_or_nothing(text: bytes, parse: Callable[[bytes], Any]) -> None:
    found = at_the_end(text, parse)
    assert found is None or found == thorough(text)


def test_what_nearly_all_backends_write_is_read_the_quick_way() -> None:
    read: list[bytes] = []

    def parse(text: bytes) -> Any:
        read.append(text)
        return orjson.loads(text)

    assert at_the_end(ENDINGS[0], parse) == Usage(25, 60, 85)
    assert read == [b"{%b}" % PLAIN]
