"""Threads and their messages."""

from typing import Any

from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways, changed, deleted
from lb.sim.objects.assistants import check_resources
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body, Kept, Shelf

ACTIVE = ("queued", "in_progress", "requires_action", "cancelling")


class Talk:
    """What belongs to one thread."""

    def __init__(self, resource: Resource) -> None:
        self.messages = resource.shelf(missing.MESSAGE)
        self.runs = resource.shelf(missing.RUN)

    def clear(self) -> None:
        """The thread is gone, and all this with it."""
        self.messages.clear()
        self.runs.clear()

    def check_idle(self, thread: str) -> None:
        """Does no run read the thread at this moment? Raises Refused."""
        for run in self.runs:
            if run.body["status"] in ACTIVE:
                raise wrong(f"Can't add messages to {thread} while a run {run.body['id']} is active.")


def begin(resource: Resource, said: Body, weight: int, now: int) -> Kept:
    """Begin a thread. Raises Refused."""
    check_resources(said.get("tool_resources"), resource)
    body = {
        "id": resource.ids("thread_"),
        "object": "thread",
        "created_at": now,
        "metadata": said.get("metadata") or {},
        "tool_resources": said.get("tool_resources") or {},
    }
    kept = resource.threads.add(body, inner=Talk(resource))
    messages = said.get("messages") or []
    for message in messages:
        put(resource, kept, message, weight // len(messages), now)
    return kept


def put(resource: Resource, thread: Kept, said: Body, weight: int, now: int, by: Body | None = None) -> Body:
    """Put a message into a thread; `by` is the run that did it. Raises Refused."""
    for attachment in said.get("attachments") or ():
        if not resource.files.has(attachment.get("file_id")):
            raise missing.FOREIGN_FILE(attachment.get("file_id"))
    body = {
        "id": resource.ids("msg_"),
        "object": "thread.message",
        "created_at": now,
        "thread_id": thread.body["id"],
        "role": said.get("role", "user"),
        "content": _content(said.get("content")),
        "attachments": said.get("attachments") or [],
        "metadata": said.get("metadata") or {},
        "assistant_id": by and by["assistant_id"],
        "run_id": by and by["id"],
        "status": "completed",
        "completed_at": now,
        "incomplete_at": None,
        "incomplete_details": None,
    }
    messages: Shelf = thread.inner.messages
    return messages.add(body, weight).body


def _content(said: Any) -> Any:
    given = [{"type": "text", "text": said}] if isinstance(said, str) else said or []
    return [
        {"type": "text", "text": {"value": part["text"], "annotations": []}}
        if part.get("type") == "text" and isinstance(part.get("text"), str)
        else part
        for part in given
    ]


def create(resource: Resource, ask: Ask) -> Found:
    return begin(resource, ask.body, ask.weight, ask.desk.now).body


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.threads.find(ask.name).body


def update(resource: Resource, ask: Ask) -> Found:
    """Change a thread."""
    body = resource.threads.find(ask.name).body
    check_resources(ask.body.get("tool_resources"), resource)
    return changed(body, ask.body, "metadata", "tool_resources")


def delete(resource: Resource, ask: Ask) -> Found:
    resource.threads.drop(ask.name)
    return deleted(ask.name, "thread")


def add_message(resource: Resource, ask: Ask) -> Found:
    """Say something, unless a run is reading."""
    thread = resource.threads.find(ask.name)
    thread.inner.check_idle(ask.name)
    return put(resource, thread, ask.body, ask.weight, ask.desk.now)


def _messages(resource: Resource, ask: Ask) -> Shelf:
    messages: Shelf = resource.threads.find(ask.name).inner.messages
    return messages


def list_messages(resource: Resource, ask: Ask) -> Found:
    """The messages, or those of one run."""
    run = ask.query.get("run_id")
    return _messages(resource, ask).page(ask.query, lambda body: run in (None, body["run_id"]))


def retrieve_message(resource: Resource, ask: Ask) -> Found:
    return _messages(resource, ask).find(ask.names[1]).body


def update_message(resource: Resource, ask: Ask) -> Found:
    return changed(_messages(resource, ask).find(ask.names[1]).body, ask.body, "metadata")


def delete_message(resource: Resource, ask: Ask) -> Found:
    _messages(resource, ask).drop(ask.names[1])
    return deleted(ask.names[1], "thread.message")


WAYS: Ways = {
    "POST /threads": create,
    "GET /threads/{}": retrieve,
    "POST /threads/{}": update,
    "DELETE /threads/{}": delete,
    "POST /threads/{}/messages": add_message,
    "GET /threads/{}/messages": list_messages,
    "GET /threads/{}/messages/{}": retrieve_message,
    "POST /threads/{}/messages/{}": update_message,
    "DELETE /threads/{}/messages/{}": delete_message,
}
