"""The Responses API: a whole response and its event stream."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from lb.sim.answer import Answer, Desk, Event, Ids, Speech, compose
from lb.sim.ledger import Usage
from lb.sim.objects import tools
from lb.sim.objects.context import Context, Inner
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Step

Body = dict[str, Any]

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
SEALED = "reasoning.encrypted_content"


def respond(context: Context, desk: Desk, resource: Resource) -> Answer:
    """Answer with a response, and keep it unless the request says `store: false`. Raises Refused."""
    body = context.body
    speech = compose(context.prompt, desk)
    used = list(tools.use(body, context.prompt, resource, desk.now))
    cited = [annotation for _, annotations in used for annotation in annotations]
    calls = [call for call, _ in used]
    output = [*_thoughts(body, desk, resource, speech), *calls, _item(speech, resource.ids, cited)]
    early = _response(body, desk, resource.ids("resp_")) | _talk(context)
    response = early | {
        "status": "incomplete" if speech.cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if speech.cut else None,
        "output": output,
        "usage": usage_object(speech.usage),
    }
    events = tuple(_events(response, speech)) if body.get("stream") else ()
    shown = _keep(context, response, events, resource)
    return Answer(speech.usage, None, events) if events else Answer(speech.usage, shown)


def usage_object(usage: Usage) -> Body:
    """Usage as the Responses API reports it."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": usage.cached},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def _keep(context: Context, response: Body, events: tuple[Event, ...], resource: Resource) -> Body:
    """Keep a response if it is to be stored; what is shown now of one in the background is that it waits."""
    background = bool(response["background"])
    if response["store"] is False:
        if background:
            raise wrong("Background mode requires store to be true.", "store")
        return response
    inner = Inner(context.items, response["output"], response["previous_response_id"], events if background else ())
    weight = sum(len(orjson.dumps(item)) for item in context.items) + sum(len(event.data) for event in inner.events)
    for item in (*context.items, *response["output"]):
        resource.items.add(item)
    if context.conversation is not None:
        for item in (*context.items, *response["output"]):
            context.conversation.inner.add(item)
    if not background:
        return resource.responses.add(response, weight, inner=inner).body
    steps: list[Step] = [lambda _: {"status": "in_progress"}, lambda _: response]
    waiting = {**response, "status": "queued", "output": [], "usage": None, "incomplete_details": None}
    return dict(resource.responses.add(waiting, weight, steps, inner).body)


def _talk(context: Context) -> Body:
    return {"conversation": {"id": context.conversation.body["id"]}} if context.conversation else {}


def _response(body: Mapping[str, Any], desk: Desk, name: str) -> Body:
    echoed = {key: body[key] if body.get(key) is not None else silent for key, silent in ECHOED.items()}
    head = {"id": name, "object": "response", "created_at": desk.now, "model": desk.model}
    return {**head, **echoed, "status": "in_progress", "error": None, "output": [], "usage": None}


def _thoughts(body: Mapping[str, Any], desk: Desk, resource: Resource, speech: Speech) -> list[Body]:
    """The item for what the model thought, sealed where the request wants to carry it along by itself."""
    if not speech.usage.reasoning:
        return []
    item = {"id": resource.ids("rs_"), "type": "reasoning", "summary": []}
    if SEALED in (body.get("include") or ()):
        item["encrypted_content"] = resource.seal.close(desk.now)
    return [item]


def _item(speech: Speech, ids: Ids, cited: list[Body]) -> Body:
    if speech.tool is not None:
        call = {"type": "function_call", "id": ids("fc_"), "call_id": ids("call_"), "name": speech.tool}
        return {**call, "arguments": speech.text, "status": "completed"}
    part = {"type": "output_text", "annotations": cited, "logprobs": [], "text": speech.text}
    status = "incomplete" if speech.cut else "completed"
    return {"id": ids("msg_"), "type": "message", "role": "assistant", "status": status, "content": [part]}


class _Numbered:
    """Makes events and counts them."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, kind: str, tokens: int = 0, **fields: Any) -> Event:
        data = orjson.dumps({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return Event(data, kind, tokens, opening=self._number <= 2)


def _events(response: Body, speech: Speech) -> Iterator[Event]:
    event = _Numbered()
    early = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield event("response.created", response=early)
    yield event("response.in_progress", response=early)
    *before, last = response["output"]
    for index, item in enumerate(before):
        yield event("response.output_item.added", output_index=index, item=item)
        yield event("response.output_item.done", output_index=index, item=item)
    yield from _spoken(event, last, len(before), speech)
    yield event(f"response.{response['status']}", response=response)


def _spoken(event: _Numbered, item: Body, index: int, speech: Speech) -> Iterator[Event]:
    """The events of the item that is generated piece by piece."""
    empty: Body = {"arguments": ""} if speech.tool is not None else {"content": []}
    yield event("response.output_item.added", output_index=index, item={**item, "status": "in_progress", **empty})
    place = {"item_id": item["id"], "output_index": index}
    if speech.tool is not None:
        for part in speech.parts:
            yield event("response.function_call_arguments.delta", 1, **place, delta=part)
        yield event("response.function_call_arguments.done", **place, name=speech.tool, arguments=speech.text)
    else:
        place["content_index"] = 0
        whole = item["content"][0]
        yield event("response.content_part.added", **place, part={**whole, "text": "", "annotations": []})
        for part in speech.parts:
            yield event("response.output_text.delta", 1, **place, delta=part, logprobs=[])
        for number, cited in enumerate(whole["annotations"]):
            told = {"annotation_index": number, "annotation": cited}
            yield event("response.output_text.annotation.added", **place, **told)
        yield event("response.output_text.done", **place, text=speech.text, logprobs=[])
        yield event("response.content_part.done", **place, part=whole)
    yield event("response.output_item.done", output_index=index, item=item)
