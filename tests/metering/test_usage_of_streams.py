"""The usage of event streams, and the text that is counted where there is none."""

import json
import random
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.metering.streams import BATCH, EVENT_MAX, KEPT, StreamReader
from lb.metering.usage import Usage

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
READ = Usage(3, 4, 7)
FRAME = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.4-mini"}


def dumped(value: Any, spaced: bool = False) -> bytes:
    return json.dumps(value, separators=None if spaced else (",", ":"), ensure_ascii=False).encode()


def event(value: Any, name: str = "", spaced: bool = False) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + dumped(value, spaced) + b"\n\n"


def said(text: str, name: str = "content", **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {name: text}, "finish_reason": None}], **FRAME, **more}


def chat(texts: Sequence[str], *, usage: Any = USAGE, nulls: bool = True, spaced: bool = False) -> bytes:
    extra = {"usage": None} if nulls else {}
    role = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], **FRAME, **extra}
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **FRAME, **extra}
    events = [role, *(said(text, **extra) for text in texts), last]
    if usage is not ...:
        events.append({"choices": [], **FRAME, "usage": usage})
    return b"".join(event(one, spaced=spaced) for one in events) + b"data: [DONE]\n\n"


def read(body: bytes, *cuts: int) -> tuple[Usage | None, int | None]:
    """Usage and number of characters."""
    reader = StreamReader(len)
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        reader.feed(body[start:end])
    return reader.reported(), reader.counted()


WORDS = ["Once", " upon", " a time", ' she said "no"', "\n\n", " été", " 港务长", " 🎉", " back\\slash", "\\", '"']


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("nulls", [False, True])
def test_the_usage_chunk_of_a_chat_is_found_and_its_text_counted(nulls: bool, spaced: bool) -> None:
    assert read(chat(WORDS * 50, nulls=nulls, spaced=spaced)) == (READ, len("".join(WORDS)) * 50)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_split_gives_the_same_with_every_line_end(end: bytes) -> None:
    body = b"\xef\xbb\xbf: hello\n\n".replace(b"\n", end) + chat(WORDS).replace(b"\n", end)
    wanted = READ, len("".join(WORDS))
    for at in range(len(body) + 1):
        assert read(body, at) == wanted
    assert read(body, *range(1, len(body))) == wanted


@given(
    st.lists(st.text(max_size=12), max_size=60), st.randoms(use_true_random=False), st.sampled_from([3, 40, 400, 9000])
)
def test_any_texts_in_any_pieces_give_the_same(texts: list[str], rng: random.Random, most: int) -> None:
    body = chat(texts * 5)
    cuts, at = [], 0
    while (at := at + rng.randint(1, most)) < len(body):
        cuts.append(at)
    assert read(body, *cuts) == (READ, len("".join(texts)) * 5)


def response(*texts: str, status: str = "completed", usage: Any = None, item: str = "output_text") -> bytes:
    told = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7} if usage is None else usage
    head = {"id": "resp_1", "tools": [{"parameters": {"properties": {"usage": {"input_tokens": 9}}}}]}
    events = [("response.created", {"response": {**head, "status": "in_progress", "usage": None}})]
    events += [(f"response.{item}.delta", {"item_id": "m", "delta": text, "logprobs": []}) for text in texts]
    events += [(f"response.{item}.done", {"text": "".join(texts)})]
    events += [(f"response.{status}", {"response": {**head, "output": ["".join(texts)], "usage": told}})]
    return b"".join(
        event({"type": name, "sequence_number": number, **data}, name) for number, (name, data) in enumerate(events)
    )


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_the_last_event_of_a_response_tells_its_usage(status: str) -> None:
    assert read(response(*WORDS * 40, status=status)) == (READ, len("".join(WORDS)) * 40)


@pytest.mark.parametrize("item", ["output_text", "function_call_arguments", "reasoning_summary_text", "refusal"])
def test_all_deltas_of_a_response_are_text_and_sound_is_not(item: str) -> None:
    assert read(response("abc", "def", item=item))[1] == 6
    assert read(event({"type": "response.audio.delta", "delta": "UklGRg=="}))[1] == 0


def test_a_response_that_failed_without_usage_tells_none() -> None:
    assert read(response("abc", status="failed", usage={})) == (None, 3)


def test_usage_of_an_event_too_large_to_hold_is_found() -> None:
    text = "x" * 3 * EVENT_MAX
    body = response(text) + event(said("after"))
    rng = random.Random(1)  # noqa: S311 - any pieces will do
    for size in (1000, 8192, 100_000, len(body)):
        cuts, at = [], 0
        while (at := at + rng.randint(1, size)) < len(body):
            cuts.append(at)
        assert read(body, *cuts)[0] == READ


def test_a_stream_in_one_huge_event_is_not_held() -> None:
    reader = StreamReader(len)
    tracemalloc.start()
    reader.feed(b'data: {"partial_image_b64":"')
    for _ in range(1000):
        reader.feed(b"A" * 8000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.feed(b'","usage":{"input_tokens":3,"output_tokens":4}}\n\n')
    assert reader.reported() == READ
    assert most < 8 * EVENT_MAX


def test_a_long_stream_is_not_held() -> None:
    piece = event(said(" twelve chars"))
    reader = StreamReader(len)
    tracemalloc.start()
    for _ in range(20_000):
        reader.feed(piece)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reader.counted() == 20_000 * len(" twelve chars")
    assert most < 256 * 1024


def test_the_arguments_of_tool_calls_are_text() -> None:
    def call(piece: str) -> dict[str, Any]:
        calls = [{"index": 0, "function": {"arguments": piece}}]
        return {"choices": [{"index": 0, "delta": {"tool_calls": calls}}], **FRAME}

    assert read(b"".join(event(call(piece)) for piece in ['{"ci', 'ty":', ' "Leeds"}']))[1] == 17
    legacy = {"choices": [{"delta": {"function_call": {"arguments": "abc"}}}]}
    assert read(event(legacy))[1] == 3


def test_what_several_choices_say_adds_up() -> None:
    both = {"choices": [{"index": i, "delta": {"content": text}} for i, text in enumerate(["one", "three"])]}
    assert read(event(both) * 3)[1] == 24


def test_text_goes_over_from_thinking_to_saying_to_calling() -> None:
    body = b"".join(event(said("abc", name)) for name in ("reasoning_content", "content", "refusal", "content"))
    assert read(body)[1] == 12


def test_the_older_completions_are_text_too() -> None:
    assert read(event({"choices": [{"text": "abc", "index": 0}]}) * 4)[1] == 12


def test_a_transcription_tells_usage_with_its_last_event() -> None:
    body = event({"type": "transcript.text.delta", "delta": "Hello"}) + event(
        {
            "type": "transcript.text.done",
            "text": "Hello",
            "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 4},
        }
    )
    assert read(body) == (READ, 5)


def test_data_over_several_lines_is_one_event() -> None:
    lines = json.dumps({"choices": [], "usage": USAGE}, indent=1).encode().split(b"\n")
    assert read(b"".join(b"data: %b\n" % line for line in lines) + b"\n")[0] == READ


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert read(chat(["abc"]).removesuffix(b"data: [DONE]\n\n").rstrip(b"\n")) == (READ, 3)


def test_a_backend_that_reports_as_it_goes_has_told_the_cost_so_far() -> None:
    growing = [said("ab", usage={"prompt_tokens": 5, "completion_tokens": n}) for n in (1, 2, 3)]
    assert read(b"".join(map(event, growing))) == (Usage(5, 3, 8), 6)


@pytest.mark.parametrize("usage", [..., None, {}, "much", {"prompt_tokens": "3"}])
def test_a_stream_without_readable_usage_tells_none_and_is_counted(usage: Any) -> None:
    assert read(chat(["abc", "de"], usage=usage)) == (None, 5)


def test_a_stream_that_was_cut_is_counted_up_to_there() -> None:
    body = chat([" word"] * 100)
    whole = [read(body[:at]) for at in range(0, len(body) - 200, 97)]
    assert [usage for usage, _ in whole] == [None] * len(whole)
    counts = [count for _, count in whole if count is not None]
    assert counts == sorted(counts)
    assert counts[-1] == 500


@given(st.binary(max_size=300), st.integers(0, 300))
def test_rubbish_neither_raises_nor_tells(rubbish: bytes, cut: int) -> None:
    usage, count = read(rubbish, min(cut, len(rubbish)))
    assert usage is None
    assert count is not None


def test_text_that_is_no_json_string_is_still_counted() -> None:
    assert read(b'data: {"choices":[{"delta":{"content":"\xff\\q"}}]}\n\n' * 2)[1]


def test_a_tokenizer_may_count_again_what_was_kept() -> None:
    reader = StreamReader(lambda text: 1, keep=True)
    for word in WORDS:
        reader.feed(event(said(word)))
    assert reader.reported() is None
    assert reader.counted() == 1
    assert reader.counted(len) == len("".join(WORDS))
    assert StreamReader().counted(len) is None


def test_what_is_kept_is_bounded_and_the_rest_is_counted_by_it() -> None:
    reader = StreamReader(keep=True)
    text = "abcd" * 1024
    for _ in range(100):
        reader.feed(event(said(text)))
    longest = 0

    def count(text: str) -> int:
        nonlocal longest
        longest = len(text)
        return len(text) // 2

    assert reader.counted(count) == 100 * len(text) // 2
    assert longest <= KEPT + len(text) + BATCH


@pytest.mark.parametrize("again", [{}, {"input_tokens": 20, "cache_read_input_tokens": 100}])
def test_messages_tell_the_prompt_when_they_begin_and_the_answer_when_they_end(again: dict[str, int]) -> None:
    usage = {"input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 100, "output_tokens": 1}
    body = b"".join(
        [
            event({"type": "message_start", "message": {"id": "msg_1", "usage": usage}}, "message_start"),
            event({"type": "ping"}, "ping"),
            *[
                event({"type": "content_block_delta", "delta": {"type": "text_delta", "text": word}}, "delta")
                for word in WORDS
            ],
            event({"type": "message_delta", "delta": {}, "usage": {**again, "output_tokens": 9}}, "message_delta"),
            event({"type": "message_stop"}, "message_stop"),
        ]
    )
    for size in (1, 50, len(body)):
        told, _ = read(body, *range(size, len(body), size))
        assert told == Usage(120, 9, 129, cached=100)
