"""Event streams, plain and odd: what a reader gets must not depend on the style."""

import random

import orjson
import pytest

from lb.sim.answer import DONE, Desk, Event, Ids
from lb.sim.chat import chat
from lb.sim.errors import Spot
from lb.sim.instream import broken, half
from lb.sim.objects.context import gather
from lb.sim.objects.resource import Resource
from lb.sim.responses import respond
from lb.sim.style import Style


def seeded() -> random.Random:
    return random.Random(3)  # noqa: S311 - seeded, not secret


DESK = Desk(Ids(seeded()), 1_795_000_000, "gpt")
SPOT = Spot("ChatCompletions_Create", "chat", "gpt", "eastus2", "v1")
ASK = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "stream": True}


def rendered(style: Style, events: tuple[Event, ...]) -> list[bytes]:
    return [data for data, _ in style.pieces(events, seeded())]


def read(stream: bytes) -> list[bytes]:
    """The data of each event, by the rules of the HTML standard's event stream format."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, data = [], []
    for line in text.split(b"\n"):
        if line.startswith(b"data: "):
            data.append(line.removeprefix(b"data: "))
        elif not line and data:
            events.append(b"\n".join(data))
            data = []
    return events


def responded() -> tuple[Event, ...]:
    resource = Resource(1 << 20)
    return respond(gather({"model": "chat", "input": "hi", "stream": True}, resource), DESK, resource).events


def streamed(**more: object) -> tuple[Event, ...]:
    return chat({**ASK, **more}, DESK).events


@pytest.mark.parametrize(
    "odd", [(), ("crlf",), ("cr",), ("split",), ("coalesce",), ("comments",), ("bom",), ("cr", "split", "bom")]
)
def test_every_style_says_the_same(odd):
    events = streamed()
    assert read(b"".join(rendered(Style(odd), events))) == [event.data for event in events]


@pytest.mark.parametrize("odd", [(), ("split",), ("coalesce",), ("crlf", "split", "coalesce")])
def test_every_style_counts_the_same_tokens(odd):
    events = streamed()
    assert sum(tokens for _, tokens in Style(odd).pieces(events, seeded())) == 16


def test_split_puts_borders_inside_events():
    pieces = rendered(Style(("split",)), streamed())
    assert len(pieces) > 3 * len(streamed())
    assert max(map(len, pieces)) <= 40


def test_coalesce_puts_several_events_into_one_piece():
    assert len(rendered(Style(("coalesce",)), streamed())) < len(streamed()) / 2


def test_no_final_blank_leaves_the_last_event_open():
    stream = b"".join(rendered(Style(("no-final-blank",)), streamed()))
    assert stream.endswith(b"data: [DONE]\n")
    assert not stream.endswith(b"\n\n")


def test_no_done_ends_without_it():
    assert b"[DONE]" not in b"".join(rendered(Style(("no-done",)), streamed()))


def test_usage_can_be_missing_or_null():
    events = streamed(stream_options={"include_usage": True})
    assert b'"total_tokens"' in b"".join(rendered(Style(), events))
    missing = b"".join(rendered(Style(("no-usage",)), events))
    assert b'"usage"' not in missing
    null = b"".join(rendered(Style(("null-usage",)), events))
    assert b'"total_tokens"' not in null
    assert null.count(b'"usage":null') == len(events) - 2  # all but the prompt filter's chunk and [DONE]


def test_usage_can_be_missing_from_a_response():
    events = responded()
    done = read(b"".join(rendered(Style(("no-usage",)), events)))[-1]
    assert "usage" not in orjson.loads(done)["response"]


def test_a_chat_stream_has_azures_order():
    events = streamed(stream_options={"include_usage": True})
    chunks = [orjson.loads(event.data) for event in events[:-1]]
    assert chunks[0]["choices"] == []
    assert chunks[0]["prompt_filter_results"]
    assert chunks[1]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 16
    assert events[-1] is DONE


def test_half_of_a_stream_has_content_but_no_end():
    for events in (streamed(), streamed(max_tokens=1), responded()):
        part = half(events)
        assert any(event.tokens for event in part)
        assert len(part) < len(events) - 1


def test_a_throttled_chat_stream_is_one_error_event():
    (event,) = broken("stream-throttle", SPOT, streamed(), typed=False)
    assert orjson.loads(event.data)["error"]["code"] == "429"


def test_a_throttled_response_stream_says_error_by_name():
    events = responded()
    (event,) = broken("stream-throttle", SPOT, events, typed=True)
    assert event.name == "error"
    assert orjson.loads(event.data)["error"]["code"] == "rate_limit_exceeded"


def test_a_late_throttled_response_was_created_and_then_failed():
    events = responded()
    late = broken("stream-throttle-late", SPOT, events, typed=True)
    assert [event.name for event in late] == ["response.created", "response.in_progress", "error", "response.failed"]
    assert [orjson.loads(event.data)["sequence_number"] for event in late] == [0, 1, 2, 3]
    assert orjson.loads(late[-1].data)["response"]["error"]["code"] == "rate_limit_exceeded"


def test_a_throttle_after_content_has_content_before_it():
    events = broken("stream-throttle-content", SPOT, streamed(), typed=False)
    assert any(event.tokens for event in events)
    assert b'"error"' in events[-1].data
