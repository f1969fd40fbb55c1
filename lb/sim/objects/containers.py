"""Containers, in which code runs, and the files in them."""

from lb.sim.decision import Download
from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body, Kept, Shelf

IDLE = {"anchor": "last_active_at", "minutes": 20}


def create(resource: Resource, ask: Ask) -> Found:
    """Make a container, with copies of files if the request names some."""
    return open_container(resource, ask.body.get("name") or "", ask.body.get("file_ids") or [], ask.desk.now).body


def open_container(resource: Resource, name: str, files: list[str], now: int) -> Kept:
    """A new container. Raises Refused when a file is not on this resource."""
    for file in files:
        if not resource.files.has(file):
            raise missing.FOREIGN_FILE(file)
    body = {
        "id": resource.ids("cntr_"),
        "object": "container",
        "created_at": now,
        "last_active_at": now,
        "name": name,
        "status": "running",
        "expires_after": IDLE,
        "memory_limit": "1g",
    }
    kept = resource.containers.add(body, inner=resource.shelf(missing.CONTAINER_FILE))
    for file in files:
        source = resource.files.find(file)
        put(resource, kept, source.body["filename"], source.inner, "user", now)
    return kept


def put(resource: Resource, container: Kept, filename: str, content: bytes, source: str, now: int) -> Body:
    """Put a file in; `source` is who did it: `user` or `assistant`."""
    body = {
        "id": resource.ids("cfile_"),
        "object": "container.file",
        "created_at": now,
        "bytes": len(content),
        "container_id": container.body["id"],
        "path": f"/mnt/data/{filename}",
        "source": source,
    }
    shelf: Shelf = container.inner
    return shelf.add(body, len(content), inner=content).body


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.containers.find(ask.name).body


def list_all(resource: Resource, ask: Ask) -> Found:
    return resource.containers.page(ask.query)


def delete(resource: Resource, ask: Ask) -> Found:
    resource.containers.drop(ask.name)
    return {"id": ask.name, "object": "container.deleted", "deleted": True}


def add_file(resource: Resource, ask: Ask) -> Found:
    """Put a file in, uploaded with the request or named by it."""
    container = resource.containers.find(ask.name)
    upload = ask.form.files.get("file")
    if upload is not None:
        return put(resource, container, upload.filename, upload.content, "user", ask.desk.now)
    name = ask.body.get("file_id")
    if name is None:
        raise wrong("You must provide either 'file' or 'file_id'.", "file")
    if not resource.files.has(name):
        raise missing.FOREIGN_FILE(name)
    source = resource.files.find(name)
    return put(resource, container, source.body["filename"], source.inner, "user", ask.desk.now)


def _files(resource: Resource, ask: Ask) -> Shelf:
    files: Shelf = resource.containers.find(ask.name).inner
    return files


def list_files(resource: Resource, ask: Ask) -> Found:
    return _files(resource, ask).page(ask.query)


def retrieve_file(resource: Resource, ask: Ask) -> Found:
    return _files(resource, ask).find(ask.names[1]).body


def file_content(resource: Resource, ask: Ask) -> Found:
    return Download(_files(resource, ask).find(ask.names[1]).inner)


def delete_file(resource: Resource, ask: Ask) -> Found:
    _files(resource, ask).drop(ask.names[1])
    return {"id": ask.names[1], "object": "container.file.deleted", "deleted": True}


WAYS: Ways = {
    "POST /containers": create,
    "GET /containers": list_all,
    "GET /containers/{}": retrieve,
    "DELETE /containers/{}": delete,
    "POST /containers/{}/files": add_file,
    "GET /containers/{}/files": list_files,
    "GET /containers/{}/files/{}": retrieve_file,
    "GET /containers/{}/files/{}/content": file_content,
    "DELETE /containers/{}/files/{}": delete_file,
}
