"""Uploads: a large file in parts, put together at the end."""

from dataclasses import dataclass, field

from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways
from lb.sim.objects.files import PURPOSES, put
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Kept

HOUR = 3600


@dataclass(slots=True)
class Parts:
    """The parts of an upload, by their ids."""

    held: dict[str, bytes] = field(default_factory=dict)


def create(resource: Resource, ask: Ask) -> Found:
    """Begin an upload of so many bytes."""
    size, purpose = ask.body.get("bytes"), ask.body.get("purpose")
    if not isinstance(size, int) or size < 1:
        raise wrong("Invalid 'bytes': expected a positive integer.", "bytes", "invalid_type")
    if purpose not in PURPOSES:
        raise wrong(f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", "purpose")
    body = {
        "id": resource.ids("upload_"),
        "object": "upload",
        "bytes": size,
        "created_at": ask.desk.now,
        "expires_at": ask.desk.now + HOUR,
        "filename": ask.body.get("filename") or "",
        "purpose": purpose,
        "status": "pending",
        "file": None,
    }
    return resource.uploads.add(body, size, inner=Parts()).body


def _pending(resource: Resource, ask: Ask) -> Kept:
    kept = resource.uploads.find(ask.name)
    if kept.body["status"] != "pending":
        raise wrong(f"Upload has status '{kept.body['status']}'.")
    return kept


def add_part(resource: Resource, ask: Ask) -> Found:
    """Take one part. All together may not be more than was announced."""
    kept = _pending(resource, ask)
    data = ask.form.files.get("data")
    if data is None:
        raise wrong("'data' is a required property", "data")
    held: dict[str, bytes] = kept.inner.held
    if sum(map(len, held.values())) + len(data.content) > kept.body["bytes"]:
        raise wrong("The parts are larger than the upload was said to be.")
    name = resource.ids("part_")
    held[name] = data.content
    return {"id": name, "object": "upload.part", "created_at": ask.desk.now, "upload_id": ask.name}


def complete(resource: Resource, ask: Ask) -> Found:
    """Make the file of the parts, in the order in which the request names them."""
    kept = _pending(resource, ask)
    held: dict[str, bytes] = kept.inner.held
    for name in ask.body.get("part_ids") or ():
        if name not in held:
            raise missing.PART(name)
    content = b"".join(held[name] for name in ask.body.get("part_ids") or ())
    if len(content) != kept.body["bytes"]:
        raise wrong(f"Expected {kept.body['bytes']} bytes, received {len(content)}.")
    held.clear()
    file = put(resource, kept.body["filename"], content, kept.body["purpose"], ask.desk.now)
    kept.body |= {"status": "completed", "file": file}
    return kept.body


def cancel(resource: Resource, ask: Ask) -> Found:
    """Forget the parts."""
    kept = _pending(resource, ask)
    kept.inner.held.clear()
    kept.body["status"] = "cancelled"
    return kept.body


WAYS: Ways = {
    "POST /uploads": create,
    "POST /uploads/{}/parts": add_part,
    "POST /uploads/{}/complete": complete,
    "POST /uploads/{}/cancel": cancel,
}
