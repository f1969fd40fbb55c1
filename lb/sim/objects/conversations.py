"""Conversations and their items."""

from typing import Any

from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways, changed, deleted
from lb.sim.objects.context import PREFIXES, parts
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Kept, Shelf


def create(resource: Resource, ask: Ask) -> Found:
    """Begin one, with items if the request brings some."""
    body = {
        "id": resource.ids("conv_"),
        "object": "conversation",
        "created_at": ask.desk.now,
        "metadata": ask.body.get("metadata") or {},
    }
    kept = resource.conversations.add(body, inner=resource.shelf(missing.ITEM))
    _put(resource, kept, ask)
    return body


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.conversations.find(ask.name).body


def update(resource: Resource, ask: Ask) -> Found:
    return changed(resource.conversations.find(ask.name).body, ask.body, "metadata")


def delete(resource: Resource, ask: Ask) -> Found:
    resource.conversations.drop(ask.name)
    return deleted(ask.name, "conversation")


def add_items(resource: Resource, ask: Ask) -> Found:
    """Add items, and list those that were added."""
    added = _put(resource, resource.conversations.find(ask.name), ask)
    ends = {"first_id": added[0]["id"], "last_id": added[-1]["id"]} if added else {"first_id": "", "last_id": ""}
    return {"object": "list", "data": added, **ends, "has_more": False}


def list_items(resource: Resource, ask: Ask) -> Found:
    return _items(resource, ask).page(ask.query)


def retrieve_item(resource: Resource, ask: Ask) -> Found:
    return _items(resource, ask).find(ask.names[1]).body


def delete_item(resource: Resource, ask: Ask) -> Found:
    """Forget an item; the conversation is what is shown."""
    _items(resource, ask).drop(ask.names[1])
    return resource.conversations.find(ask.name).body


def _items(resource: Resource, ask: Ask) -> Shelf:
    items: Shelf = resource.conversations.find(ask.name).inner
    return items


def _put(resource: Resource, kept: Kept, ask: Ask) -> list[dict[str, Any]]:
    said = ask.body.get("items") or []
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise wrong("Invalid type for 'items': expected an array of objects.", "items", "invalid_type")
    added = []
    for one in said:
        kind = one.get("type", "message")
        item = {**one, "type": kind, "id": resource.ids(PREFIXES.get(kind, "item_")), "status": "completed"}
        if kind == "message":
            item["content"] = parts(one.get("content"), one.get("role"))
        added.append(kept.inner.add(item, ask.weight // len(said)).body)
    return added


WAYS: Ways = {
    "POST /conversations": create,
    "GET /conversations/{}": retrieve,
    "POST /conversations/{}": update,
    "DELETE /conversations/{}": delete,
    "POST /conversations/{}/items": add_items,
    "GET /conversations/{}/items": list_items,
    "GET /conversations/{}/items/{}": retrieve_item,
    "DELETE /conversations/{}/items/{}": delete_item,
}
