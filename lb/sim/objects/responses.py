"""Responses that were stored: look at one, follow its stream, cancel it, delete it, list what it was asked."""

from typing import Any

from lb.sim.answer import Answer
from lb.sim.ledger import Usage
from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import page


def retrieve(resource: Resource, ask: Ask) -> Found:
    """Show it; with `stream=true` its events after `starting_after`, if it runs in the background."""
    kept = resource.responses.find(ask.name)
    if ask.query.get("stream") != "true":
        return resource.responses.look(ask.name, ask.desk.now)
    if not kept.inner.events:
        raise wrong("This response cannot be streamed because it was not created with background=true and stream=true.")
    seen = ask.query.get("starting_after", "-1")
    first = int(seen[:9]) + 1 if seen[:9].isdecimal() else 0
    return Answer(Usage(), None, kept.inner.events[first:], charged=False)


def delete(resource: Resource, ask: Ask) -> Found:
    """Forget it."""
    resource.responses.drop(ask.name)
    return {"id": ask.name, "object": "response.deleted", "deleted": True}


def cancel(resource: Resource, ask: Ask) -> Found:
    """Stop one that runs in the background; one that is over stays as it is."""
    kept = resource.responses.find(ask.name)
    if not kept.body["background"]:
        raise wrong("Cannot cancel a synchronous response.")
    if kept.body["status"] in ("queued", "in_progress"):
        kept.steps.clear()
        kept.body |= {"status": "cancelled"}
    return kept.body


def input_items(resource: Resource, ask: Ask) -> Found:
    """What the model was given, newest first: also what came in by the responses before it."""
    held: list[dict[str, Any]] = []
    name: str | None = ask.name
    kept = resource.responses.find(name)
    while True:
        held[:0] = kept.inner.items
        name = kept.inner.previous
        if name is None or not resource.responses.has(name):
            break
        kept = resource.responses.find(name)
        held[:0] = kept.inner.output
    return page(held, ask.query, missing.ITEM)


WAYS: Ways = {
    "GET /responses/{}": retrieve,
    "DELETE /responses/{}": delete,
    "POST /responses/{}/cancel": cancel,
    "GET /responses/{}/input_items": input_items,
}
