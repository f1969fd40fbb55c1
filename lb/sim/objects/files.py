"""Files: uploaded as a form, listed, downloaded, deleted; and those that jobs make."""

from lb.sim.decision import Download
from lb.sim.objects.ask import Ask, Found, Ways
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""What a client may upload a file for."""
MOST_LISTED = 10_000


def create(resource: Resource, ask: Ask) -> Found:
    """Keep an uploaded file."""
    upload = ask.form.files.get("file")
    if upload is None:
        raise wrong("'file' is a required property", "file")
    purpose = ask.form.fields.get("purpose")
    if purpose not in PURPOSES:
        raise wrong(f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", "purpose")
    return put(resource, upload.filename, upload.content, purpose, ask.desk.now)


def put(resource: Resource, filename: str, content: bytes, purpose: str, now: int) -> Body:
    """Keep a file and give it an id; those of assistants have a prefix of their own at Azure."""
    body = {
        "id": resource.ids("assistant-" if purpose.startswith("assistants") else "file-"),
        "object": "file",
        "bytes": len(content),
        "created_at": now,
        "filename": filename,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }
    return resource.files.add(body, len(content), inner=content).body


def list_all(resource: Resource, ask: Ask) -> Found:
    """The files, or those of one purpose."""
    purpose = ask.query.get("purpose")
    return resource.files.page(ask.query, lambda body: purpose in (None, body["purpose"]), MOST_LISTED, MOST_LISTED)


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.files.find(ask.name).body


def content(resource: Resource, ask: Ask) -> Found:
    return Download(resource.files.find(ask.name).inner)


def delete(resource: Resource, ask: Ask) -> Found:
    resource.files.drop(ask.name)
    return {"id": ask.name, "object": "file", "deleted": True}


WAYS: Ways = {
    "POST /files": create,
    "GET /files": list_all,
    "GET /files/{}": retrieve,
    "GET /files/{}/content": content,
    "DELETE /files/{}": delete,
}
