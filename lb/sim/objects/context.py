"""What a response is made from: its own input, what came before it, and the objects that it names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lb.sim.objects import missing, tools
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body, Kept

PREFIXES = {"reasoning": "rs_", "function_call": "fc_", "function_call_output": "fco_", "message": "msg_"}
NOT_BOTH = (
    "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you are only providing one of "
    "them."
)


@dataclass(slots=True)
class Inner:
    """What belongs to a response that is kept, besides what is shown of it."""

    items: list[Body]
    """Its own input, oldest first."""
    output: list[Body]
    previous: str | None = None
    events: tuple[Any, ...] = ()
    """The stream of one that runs in the background."""


@dataclass(slots=True)
class Context:
    """A request for a response with all that it refers to."""

    body: Mapping[str, Any]
    items: list[Body]
    """Its own input as items, each with an id."""
    prompt: dict[str, Any] = field(default_factory=dict)
    """The request with everything in its `input` that the model reads."""
    conversation: Kept | None = None


def gather(body: Mapping[str, Any], resource: Resource, api_version: str = "") -> Context:
    """Find everything that a request refers to. Raises Refused when the resource does not have it."""
    previous, talk = body.get("previous_response_id"), body.get("conversation")
    if previous and talk:
        raise wrong(NOT_BOTH, "previous_response_id", "mutually_exclusive_parameters")
    conversation = resource.conversations.find(talk.get("id") if isinstance(talk, dict) else talk) if talk else None
    tools.check(body.get("tools"), resource)
    items = [_item(one, resource, api_version) for one in _given(body.get("input"))]
    earlier = list(_earlier(previous, resource))
    if conversation is not None:
        earlier = [kept.body for kept in conversation.inner]
    return Context(body, items, {**body, "input": earlier + items}, conversation)


def _given(said: Any) -> list[Any]:
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    return said if isinstance(said, list) else []


def _earlier(previous: Any, resource: Resource) -> Iterator[Body]:
    """The items of the chain of responses that ends with this one, oldest first."""
    chain: list[Inner] = []
    if previous and not resource.responses.has(previous):
        raise missing.PREVIOUS(previous)
    while previous and resource.responses.has(previous):
        chain.append(resource.responses.find(previous).inner)
        previous = chain[-1].previous
    for inner in reversed(chain):
        yield from inner.items
        yield from inner.output


def _item(said: Any, resource: Resource, api_version: str) -> Body:
    """One item of the input as it is kept, its references checked."""
    if not isinstance(said, dict):
        raise wrong("Invalid type for 'input': expected an object or a string.", "input", "invalid_type")
    kind = said.get("type", "message")
    if kind == "item_reference":
        if not resource.items.has(said.get("id")):
            raise missing.UNSTORED_ITEM(said.get("id"))
        return resource.items.find(said["id"]).body
    if kind == "reasoning":
        _check_reasoning(said, resource, api_version)
    item = {**said, "type": kind, "id": said.get("id") or resource.ids(PREFIXES.get(kind, "item_"))}
    if kind == "message":
        item = {**item, "status": "completed", "content": parts(said.get("content"), said.get("role"))}
        for part in item["content"] or ():
            if part.get("file_id") and not resource.files.has(part["file_id"]):
                raise missing.FOREIGN_FILE(part["file_id"])
    return item


def parts(content: Any, role: Any) -> Any:
    """A message's content as a list, which is how it is kept."""
    if not isinstance(content, str):
        return content
    if role == "assistant":
        return [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}]
    return [{"type": "input_text", "text": content}]


def _check_reasoning(said: Body, resource: Resource, api_version: str) -> None:
    content = said.get("encrypted_content")
    if content is None and not resource.items.has(said.get("id")):
        raise missing.UNSTORED_ITEM(said.get("id"))
    if content is not None and not resource.seal.opens(content):
        raise _unopened(str(content), api_version)


def _unopened(content: str, api_version: str) -> missing.Refused:
    """Two forms were reported: newer versions say a reason and have a code, older ones say less."""
    text = f"The encrypted content {content[:4]}...{content[-4:]} could not be verified."
    if api_version and api_version <= "2025-03-01-preview":
        return wrong(text)
    reason = " Reason: Encrypted content could not be decrypted or parsed."
    return wrong(text + reason, code="invalid_encrypted_content")
