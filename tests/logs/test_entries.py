"""Our line within what the platforms' tools print."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.logs.entries import entries_in, shown

OURS = {"timestamp": "2026-11-21T10:13:19.250Z", "level": "info", "event": "Received response 200", "request_id": "r1"}
LINE = json.dumps(OURS)
ESCAPED = json.dumps(LINE)


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        f"  {LINE}\r",
        f"[pod/openai-lb-7d9c/lb] {LINE}",
        f"2026-11-21T10:13:19.250000000Z {LINE}",
        f"lb-1  | {LINE}",
        f'{{"TimeStamp":"2026-11-21T10:13:19.25","Log":{ESCAPED}}}',
        json.dumps({"TimeStamp": "2026-11-21T10:13:19", "Log": f"F {LINE}"}),
        json.dumps({"TimeGenerated": "x", "Log_s": LINE, "ContainerAppName_s": "web"}),
        json.dumps({"TimeGenerated": "x", "LogMessage": OURS, "PodName": "p"}),
        json.dumps({"log": LINE + "\n", "stream": "stdout", "time": "x"}),
        json.dumps([{"Log_s": LINE}]),
        f'    "Log_s": {ESCAPED},',
        f'"Log": {ESCAPED}',
    ],
)
def test_it_is_found_however_it_is_wrapped(line: str) -> None:
    assert entries_in(line) == [OURS]


def test_a_table_in_one_line_has_all_its_rows() -> None:
    assert entries_in(json.dumps([{"Log_s": LINE}, {"Log_s": "no"}, {"Log_s": LINE}])) == [OURS, OURS]


FOREIGN = [
    "", "   ", "Traceback (most recent call last):", "{", "{}", "[]", "[1, 2]", '{"event": 5}', '{"event": "x"}',
    '{"level":', '{"a": {"event": "x", "level": "info"}}', "{" * 100_000, "[" * 100_000, '{"Log": "{"}', "null",
    '"Log": 5', json.dumps({"Log": json.dumps({"Log": json.dumps({"Log": json.dumps({"Log": LINE})})})}),
]  # fmt: skip


@pytest.mark.parametrize("line", FOREIGN)
def test_what_is_not_ours_is_not_taken_for_ours(line: str) -> None:
    assert entries_in(line) == []


@given(
    st.text()
    | st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(
        json.dumps
    )
)
def test_nothing_breaks_it(line: Any) -> None:
    entries_in(line)


def test_what_could_steer_a_terminal_is_shown_as_an_escape() -> None:
    assert shown("\x1b[31mred\nnext\x9b") == "\\x1b[31mred\\nnext\\x9b"
    assert shown("x" * 1000, 10) == "xxxxxxxxxx..."
