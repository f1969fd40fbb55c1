"""Chat completions that were stored (`store: true`), with the messages that they answered."""

from collections.abc import Mapping
from typing import Any

import orjson

from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways, changed, deleted
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body, page


def keep(resource: Resource, said: Mapping[str, Any], answer: Body) -> None:
    """Store a completion."""
    messages = [
        {"content": None, **message, "id": f"{answer['id']}-{number}"}
        for number, message in enumerate(said.get("messages") or ())
    ]
    body = {**answer, "metadata": said.get("metadata") or {}}
    resource.completions.add(body, len(orjson.dumps(messages)), inner=messages)


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.completions.find(ask.name).body


def list_all(resource: Resource, ask: Ask) -> Found:
    """Oldest first, unlike other lists."""
    model = ask.query.get("model")
    return resource.completions.page({"order": "asc", **ask.query}, lambda body: model in (None, body["model"]))


def messages(resource: Resource, ask: Ask) -> Found:
    return page(resource.completions.find(ask.name).inner, {"order": "asc", **ask.query}, missing.COMPLETION)


def update(resource: Resource, ask: Ask) -> Found:
    return changed(resource.completions.find(ask.name).body, ask.body, "metadata")


def delete(resource: Resource, ask: Ask) -> Found:
    resource.completions.drop(ask.name)
    return deleted(ask.name, "chat.completion")


WAYS: Ways = {
    "GET /chat/completions": list_all,
    "GET /chat/completions/{}": retrieve,
    "POST /chat/completions/{}": update,
    "DELETE /chat/completions/{}": delete,
    "GET /chat/completions/{}/messages": messages,
}
