"""The Responses API: a whole response, its event stream, and the place where responses are kept."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from lb.sim.answer import Answer, Desk, Event, Speech, compose
from lb.sim.ledger import Usage

ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Settings that a response repeats from its request, with what stands there where the request is silent."""


class Kept:
    """Responses that can be asked for again; the oldest make room for new ones."""

    def __init__(self, bound: int = 200) -> None:
        self._bound = bound
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def keep(self, response: dict[str, Any]) -> None:
        self._kept[response["id"]] = response
        if len(self._kept) > self._bound:
            self._kept.popitem(last=False)

    def get(self, name: str) -> dict[str, Any] | None:
        return self._kept.get(name)

    def drop(self, name: str) -> bool:
        """Forget one; was it there?"""
        return self._kept.pop(name, None) is not None


def respond(body: Mapping[str, Any], desk: Desk, kept: Kept) -> Answer:
    """Answer with a response, and keep it unless the request says `store: false`."""
    speech = compose(body, desk)
    item = _item(speech, desk)
    response = _response(body, desk) | {
        "status": "incomplete" if speech.cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if speech.cut else None,
        "output": [item],
        "usage": usage_object(speech.usage),
    }
    if response["store"] is not False:
        kept.keep(response)
    if body.get("stream"):
        return Answer(speech.usage, None, tuple(_events(response, item, speech)))
    return Answer(speech.usage, response)


def usage_object(usage: Usage) -> dict[str, Any]:
    """Usage as the Responses API reports it."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": usage.cached},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def _response(body: Mapping[str, Any], desk: Desk) -> dict[str, Any]:
    echoed = {key: body[key] if body.get(key) is not None else silent for key, silent in ECHOED.items()}
    head = {"id": desk.ids("resp_"), "object": "response", "created_at": desk.now, "model": desk.model}
    return {**head, **echoed, "status": "in_progress", "error": None, "output": [], "usage": None}


def _item(speech: Speech, desk: Desk) -> dict[str, Any]:
    if speech.tool is not None:
        call = {"type": "function_call", "id": desk.ids("fc_"), "call_id": desk.ids("call_"), "name": speech.tool}
        return {**call, "arguments": speech.text, "status": "completed"}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": speech.text}
    status = "incomplete" if speech.cut else "completed"
    return {"id": desk.ids("msg_"), "type": "message", "role": "assistant", "status": status, "content": [part]}


def _events(response: dict[str, Any], item: dict[str, Any], speech: Speech) -> Iterator[Event]:
    number = 0

    def event(kind: str, tokens: int = 0, **fields: Any) -> Event:
        nonlocal number
        number += 1
        data = orjson.dumps({"type": kind, "sequence_number": number - 1, **fields})
        return Event(data, kind, tokens, opening=number <= 2)

    early = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield event("response.created", response=early)
    yield event("response.in_progress", response=early)
    empty: dict[str, Any] = {"arguments": ""} if speech.tool is not None else {"content": []}
    bare = {**item, "status": "in_progress", **empty}
    yield event("response.output_item.added", output_index=0, item=bare)
    place = {"item_id": item["id"], "output_index": 0}
    if speech.tool is not None:
        for part in speech.parts:
            yield event("response.function_call_arguments.delta", 1, **place, delta=part)
        yield event("response.function_call_arguments.done", **place, name=speech.tool, arguments=speech.text)
    else:
        place["content_index"] = 0
        whole = item["content"][0]
        yield event("response.content_part.added", **place, part={**whole, "text": ""})
        for part in speech.parts:
            yield event("response.output_text.delta", 1, **place, delta=part, logprobs=[])
        yield event("response.output_text.done", **place, text=speech.text, logprobs=[])
        yield event("response.content_part.done", **place, part=whole)
    yield event("response.output_item.done", output_index=0, item=item)
    yield event(f"response.{response['status']}", response=response)
