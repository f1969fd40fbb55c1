"""Chat completions and the older completions, whole and as a stream, with what Azure adds to OpenAI's shapes."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from lb.sim.answer import DONE, Answer, Desk, Event, Speech, compose
from lb.sim.ledger import Usage
from lb.sim.tokens import count

_SAFE = {"filtered": False, "severity": "safe"}
_VERDICTS = {"hate": _SAFE, "self_harm": _SAFE, "sexual": _SAFE, "violence": _SAFE}
_PROMPT_VERDICT = [
    {"prompt_index": 0, "content_filter_results": {**_VERDICTS, "jailbreak": {"filtered": False, "detected": False}}}
]


def chat(body: Mapping[str, Any], desk: Desk) -> Answer:
    """Answer a chat completion."""
    answers = count(body, "n")
    speech = compose(body, desk, answers)
    call = desk.ids("call_") if speech.tool is not None else ""
    if body.get("stream"):
        asked = bool((body.get("stream_options") or {}).get("include_usage"))
        return Answer(speech.usage, None, tuple(_chunks(desk, speech, call, answers, asked)), reported=asked)
    message: dict[str, Any] = {"role": "assistant", "content": speech.text, "refusal": None, "annotations": []}
    if call:
        message |= {"content": None, "tool_calls": [_tool_call(call, speech.tool, speech.text)]}
    choice = {
        "message": message,
        "logprobs": None,
        "finish_reason": _finish(speech),
        "content_filter_results": _VERDICTS,
    }
    return Answer(
        speech.usage,
        {
            "choices": [{**choice, "index": index} for index in range(answers)],
            "created": desk.now,
            "id": desk.ids("chatcmpl-"),
            "model": desk.model,
            "object": "chat.completion",
            "prompt_filter_results": _PROMPT_VERDICT,
            "system_fingerprint": "fp_simulated",
            "usage": usage_object(speech.usage),
        },
    )


def usage_object(usage: Usage) -> dict[str, Any]:
    """Usage as chat and completions report it."""
    return {
        "completion_tokens": usage.completion,
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": usage.reasoning,
            "rejected_prediction_tokens": 0,
        },
        "prompt_tokens": usage.prompt,
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": usage.cached},
        "total_tokens": usage.total,
    }


def _finish(speech: Speech) -> str:
    if speech.tool is not None:
        return "tool_calls"
    return "length" if speech.cut else "stop"


def _tool_call(call: str, name: str | None, arguments: str) -> dict[str, Any]:
    return {"id": call, "type": "function", "function": {"name": name, "arguments": arguments}}


def _chunks(desk: Desk, speech: Speech, call: str, answers: int, asked: bool) -> Iterator[Event]:
    opening = {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": _PROMPT_VERDICT,
    }
    yield Event(orjson.dumps(opening), opening=True)
    frame = {"created": desk.now, "id": desk.ids("chatcmpl-"), "model": desk.model, "object": "chat.completion.chunk"}
    frame["system_fingerprint"] = "fp_simulated"
    if asked:
        frame["usage"] = None

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None, tokens: int = 0) -> Event:
        choice = {"delta": delta, "finish_reason": finish, "index": index, "logprobs": None}
        return Event(orjson.dumps({"choices": [choice], **frame}), tokens=tokens)

    for index in range(answers):
        yield chunk(index, {"role": "assistant", "content": None if call else "", "refusal": None})
        if call:
            yield chunk(index, {"tool_calls": [{"index": 0, **_tool_call(call, speech.tool, "")}]})
        for part in speech.parts:
            told = {"tool_calls": [{"index": 0, "function": {"arguments": part}}]} if call else {"content": part}
            yield chunk(index, told, tokens=1)
        yield chunk(index, {}, _finish(speech))
    if asked:
        last = {"choices": [], **frame, "usage": usage_object(speech.usage)}
        yield Event(orjson.dumps(last), usage=True)
    yield DONE


def completions(body: Mapping[str, Any], desk: Desk) -> Answer:
    """Answer a completion of the older kind."""
    answers = count(body, "n")
    speech = compose({key: body[key] for key in ("prompt", "max_tokens") if key in body}, desk, answers)
    frame = {"id": desk.ids("cmpl-"), "object": "text_completion", "created": desk.now, "model": desk.model}
    if body.get("stream"):
        asked = bool((body.get("stream_options") or {}).get("include_usage"))
        return Answer(speech.usage, None, tuple(_texts(frame, speech, answers, asked)), reported=asked)
    choice = {
        "text": speech.text,
        "logprobs": None,
        "finish_reason": _finish(speech),
        "content_filter_results": _VERDICTS,
    }
    choices = [{**choice, "index": index} for index in range(answers)]
    return Answer(
        speech.usage,
        {**frame, "prompt_filter_results": _PROMPT_VERDICT, "choices": choices, "usage": usage_object(speech.usage)},
    )


def _texts(frame: dict[str, Any], speech: Speech, answers: int, asked: bool) -> Iterator[Event]:
    opening = {**frame, "choices": [], "prompt_filter_results": _PROMPT_VERDICT}
    yield Event(orjson.dumps(opening), opening=True)
    for index in range(answers):
        for i, part in enumerate(speech.parts):
            finish = _finish(speech) if i == len(speech.parts) - 1 else None
            choice = {"text": part, "index": index, "logprobs": None, "finish_reason": finish}
            yield Event(orjson.dumps({**frame, "choices": [choice]}), tokens=1)
    if asked:
        yield Event(orjson.dumps({**frame, "choices": [], "usage": usage_object(speech.usage)}), usage=True)
    yield DONE
