"""Vector stores: files are put in, one by one or in batches, and what they say is searched."""

from typing import Any

from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways, changed, deleted
from lb.sim.objects.resource import Resource
from lb.sim.objects.search import excerpt, search
from lb.sim.objects.shelf import Body, Shelf

AUTO = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
STATES = ("in_progress", "completed", "cancelled", "failed")


class Stock:
    """What belongs to one vector store."""

    def __init__(self, resource: Resource) -> None:
        self.files = resource.shelf(missing.VECTOR_STORE_FILE)
        self.batches = resource.shelf(missing.FILE_BATCH)

    def clear(self) -> None:
        """The store is gone, and all this with it."""
        self.files.clear()
        self.batches.clear()


def create(resource: Resource, ask: Ask) -> Found:
    """Make a store, with files if the request names some."""
    names = ask.body.get("file_ids") or []
    check_files(resource, names)
    body = {
        "id": resource.ids("vs_"),
        "object": "vector_store",
        "created_at": ask.desk.now,
        "last_active_at": ask.desk.now,
        "name": ask.body.get("name") or "",
        "metadata": ask.body.get("metadata") or {},
        "expires_after": ask.body.get("expires_after"),
        "expires_at": None,
    }
    stock = Stock(resource)
    kept = resource.vector_stores.add(body, ask.weight, inner=stock)
    for name in names:
        add_file_to(resource, kept.body, stock, name, ask)
    return _shown(kept.body, stock)


def check_files(resource: Resource, names: Any) -> None:
    """Every file must be on this resource. Raises Refused."""
    for name in names:
        if not resource.files.has(name):
            raise missing.UNSEARCHABLE_FILE(name)


def add_file_to(resource: Resource, store: Body, stock: Stock, name: str, ask: Ask) -> Body:
    """Put a file into a store; it is ready when it is looked at."""
    body = {
        "id": name,
        "object": "vector_store.file",
        "created_at": ask.desk.now,
        "vector_store_id": store["id"],
        "status": "in_progress",
        "usage_bytes": 0,
        "last_error": None,
        "attributes": ask.body.get("attributes") or {},
        "chunking_strategy": AUTO,
    }
    size = resource.files.find(name).body["bytes"]
    return stock.files.add(body, steps=[lambda _: {"status": "completed", "usage_bytes": size}]).body


def file_counts(files: list[Body]) -> dict[str, int]:
    """How many files stand how."""
    counts = {state: sum(file["status"] == state for file in files) for state in STATES}
    return {**counts, "total": len(files)}


def _shown(body: Body, stock: Stock) -> Body:
    """A store with the sums of its files as they stand."""
    files = [kept.body for kept in stock.files]
    counts = file_counts(files)
    status = "in_progress" if counts["in_progress"] else "completed"
    return {**body, "status": status, "usage_bytes": sum(f["usage_bytes"] for f in files), "file_counts": counts}


def retrieve(resource: Resource, ask: Ask) -> Found:
    """Show a store; to look at it is to look at its files, too."""
    kept = resource.vector_stores.find(ask.name)
    shown = _shown(kept.body, kept.inner)
    for file in kept.inner.files:
        file.step(ask.desk.now)
    return shown


def list_all(resource: Resource, ask: Ask) -> Found:
    found = resource.vector_stores.page(ask.query)
    return {**found, "data": [_shown(body, resource.vector_stores.find(body["id"]).inner) for body in found["data"]]}


def update(resource: Resource, ask: Ask) -> Found:
    kept = resource.vector_stores.find(ask.name)
    return _shown(changed(kept.body, ask.body, "name", "metadata", "expires_after"), kept.inner)


def delete(resource: Resource, ask: Ask) -> Found:
    resource.vector_stores.drop(ask.name)
    return deleted(ask.name, "vector_store")


def stock_of(resource: Resource, ask: Ask) -> Stock:
    """What belongs to the store that is meant. Raises Refused."""
    stock: Stock = resource.vector_stores.find(ask.name).inner
    return stock


def add_file(resource: Resource, ask: Ask) -> Found:
    """Put a file in."""
    kept = resource.vector_stores.find(ask.name)
    name = ask.body.get("file_id")
    check_files(resource, [name])
    return add_file_to(resource, kept.body, kept.inner, str(name), ask)


def list_files(resource: Resource, ask: Ask) -> Found:
    return files_page(stock_of(resource, ask).files, ask)


def files_page(files: Shelf, ask: Ask, among: list[str] | None = None) -> Body:
    """A page of files, or of those of one status."""
    status = ask.query.get("filter")
    return files.page(
        ask.query, lambda body: status in (None, body["status"]) and (among is None or body["id"] in among)
    )


def retrieve_file(resource: Resource, ask: Ask) -> Found:
    return stock_of(resource, ask).files.look(ask.names[1], ask.desk.now)


def update_file(resource: Resource, ask: Ask) -> Found:
    return changed(stock_of(resource, ask).files.find(ask.names[1]).body, ask.body, "attributes")


def delete_file(resource: Resource, ask: Ask) -> Found:
    """Take a file out; the file itself stays."""
    stock_of(resource, ask).files.drop(ask.names[1])
    return deleted(ask.names[1], "vector_store.file")


def file_content(resource: Resource, ask: Ask) -> Found:
    name = stock_of(resource, ask).files.find(ask.names[1]).body["id"]
    text = {"type": "text", "text": excerpt(resource, name)}
    return {"object": "vector_store.file_content.page", "data": [text], "has_more": False, "next_page": None}


def search_store(resource: Resource, ask: Ask) -> Found:
    """The files whose words are those of the query, best first."""
    query = ask.body.get("query") or ""
    queries = query if isinstance(query, list) else [query]
    results = search(resource, [ask.name], " ".join(queries), ask.body.get("max_num_results") or 10)
    data = [
        {**{key: result[key] for key in ("file_id", "filename", "score", "attributes")}, "content": [content]}
        for result in results
        for content in ({"type": "text", "text": result["text"]},)
    ]
    page = {"object": "vector_store.search_results.page", "search_query": queries}
    return {**page, "data": data, "has_more": False, "next_page": None}


WAYS: Ways = {
    "POST /vector_stores": create,
    "GET /vector_stores": list_all,
    "GET /vector_stores/{}": retrieve,
    "POST /vector_stores/{}": update,
    "DELETE /vector_stores/{}": delete,
    "POST /vector_stores/{}/search": search_store,
    "POST /vector_stores/{}/files": add_file,
    "GET /vector_stores/{}/files": list_files,
    "GET /vector_stores/{}/files/{}": retrieve_file,
    "POST /vector_stores/{}/files/{}": update_file,
    "DELETE /vector_stores/{}/files/{}": delete_file,
    "GET /vector_stores/{}/files/{}/content": file_content,
}
