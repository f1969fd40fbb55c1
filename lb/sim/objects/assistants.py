"""Assistants, and the check of what they and their threads may use."""

from typing import Any

from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways, changed, deleted
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource

SILENT: dict[str, Any] = {
    "model": "",
    "name": None,
    "description": None,
    "instructions": None,
    "tools": [],
    "tool_resources": {},
    "metadata": {},
    "temperature": 1.0,
    "top_p": 1.0,
    "response_format": "auto",
}
"""What is set in an assistant, with what stands there where nothing was said."""


def check_resources(said: Any, resource: Resource) -> None:
    """Are the stores and files of a `tool_resources` on this resource? Raises Refused."""
    for store in ((said or {}).get("file_search") or {}).get("vector_store_ids") or ():
        resource.vector_stores.find(store)
    for file in ((said or {}).get("code_interpreter") or {}).get("file_ids") or ():
        if not resource.files.has(file):
            raise missing.FOREIGN_FILE(file)


def create(resource: Resource, ask: Ask) -> Found:
    """Make an assistant."""
    if not ask.body.get("model"):
        raise wrong("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    check_resources(ask.body.get("tool_resources"), resource)
    said = {key: ask.body[key] for key in SILENT if ask.body.get(key) is not None}
    head = {"id": resource.ids("asst_"), "object": "assistant", "created_at": ask.desk.now}
    return resource.assistants.add({**head, **SILENT, **said}, ask.weight).body


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.assistants.find(ask.name).body


def list_all(resource: Resource, ask: Ask) -> Found:
    return resource.assistants.page(ask.query)


def update(resource: Resource, ask: Ask) -> Found:
    """Change an assistant."""
    body = resource.assistants.find(ask.name).body
    check_resources(ask.body.get("tool_resources"), resource)
    return changed(body, ask.body, *SILENT)


def delete(resource: Resource, ask: Ask) -> Found:
    resource.assistants.drop(ask.name)
    return deleted(ask.name, "assistant")


WAYS: Ways = {
    "POST /assistants": create,
    "GET /assistants": list_all,
    "GET /assistants/{}": retrieve,
    "POST /assistants/{}": update,
    "DELETE /assistants/{}": delete,
}
