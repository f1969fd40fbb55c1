"""Several files put into a vector store at once."""

from lb.sim.objects.ask import Ask, Found, Ways
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body
from lb.sim.objects.vector_stores import Stock, add_file_to, check_files, file_counts, files_page, stock_of


def add_batch(resource: Resource, ask: Ask) -> Found:
    """Put several files in at once."""
    kept = resource.vector_stores.find(ask.name)
    names = ask.body.get("file_ids") or [file["file_id"] for file in ask.body.get("files") or []]
    check_files(resource, names)
    for name in names:
        add_file_to(resource, kept.body, kept.inner, name, ask)
    body = {
        "id": resource.ids("vsfb_"),
        "object": "vector_store.files_batch",
        "created_at": ask.desk.now,
        "vector_store_id": ask.name,
        "status": "in_progress",
    }
    done = [lambda _: {"status": "completed"}]
    return _batch_shown(kept.inner, kept.inner.batches.add(body, steps=done, inner=list(names)).body, names)


def _batch_shown(stock: Stock, body: Body, names: list[str]) -> Body:
    return {**body, "file_counts": file_counts([kept.body for kept in stock.files if kept.body["id"] in names])}


def retrieve_batch(resource: Resource, ask: Ask) -> Found:
    """Show a batch; to look at it is to look at its files, too."""
    stock = stock_of(resource, ask)
    kept = stock.batches.find(ask.names[1])
    for file in stock.files:
        if file.body["id"] in kept.inner:
            file.step(ask.desk.now)
    return _batch_shown(stock, kept.step(ask.desk.now), kept.inner)


def cancel_batch(resource: Resource, ask: Ask) -> Found:
    stock = stock_of(resource, ask)
    kept = stock.batches.find(ask.names[1])
    if kept.steps:
        kept.steps.clear()
        kept.body["status"] = "cancelled"
    return _batch_shown(stock, kept.body, kept.inner)


def list_batch_files(resource: Resource, ask: Ask) -> Found:
    stock = stock_of(resource, ask)
    return files_page(stock.files, ask, stock.batches.find(ask.names[1]).inner)


WAYS: Ways = {
    "POST /vector_stores/{}/file_batches": add_batch,
    "GET /vector_stores/{}/file_batches/{}": retrieve_batch,
    "POST /vector_stores/{}/file_batches/{}/cancel": cancel_batch,
    "GET /vector_stores/{}/file_batches/{}/files": list_batch_files,
}
