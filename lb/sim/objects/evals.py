"""Evals and their runs. A run grades nothing: every item of its source passes."""

from typing import Any

from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways, changed, deleted
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body, Shelf, Step


def create(resource: Resource, ask: Ask) -> Found:
    """Make an eval."""
    config = ask.body.get("data_source_config")
    if not isinstance(config, dict):
        raise wrong("Missing required parameter: 'data_source_config'.", "data_source_config")
    schema = {"type": "object", "properties": {"item": config.get("item_schema") or {"type": "object"}}}
    body = {
        "id": resource.ids("eval_"),
        "object": "eval",
        "created_at": ask.desk.now,
        "name": ask.body.get("name") or "",
        "data_source_config": {**config, "schema": schema},
        "testing_criteria": ask.body.get("testing_criteria") or [],
        "metadata": ask.body.get("metadata") or {},
    }
    return resource.evals.add(body, ask.weight, inner=resource.shelf(missing.EVAL_RUN)).body


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.evals.find(ask.name).body


def list_all(resource: Resource, ask: Ask) -> Found:
    """Oldest first, unlike other lists."""
    return resource.evals.page({"order": "asc", **ask.query})


def update(resource: Resource, ask: Ask) -> Found:
    return changed(resource.evals.find(ask.name).body, ask.body, "name", "metadata")


def delete(resource: Resource, ask: Ask) -> Found:
    resource.evals.drop(ask.name)
    return {"eval_id": ask.name, "object": "eval.deleted", "deleted": True}


def create_run(resource: Resource, ask: Ask) -> Found:
    """Begin a run over the items of its source; a file must be on this resource."""
    kept = resource.evals.find(ask.name)
    source = ask.body.get("data_source") or {}
    count = _count(source.get("source") or {}, resource)
    body: Body = {
        "id": resource.ids("evalrun_"),
        "object": "eval.run",
        "created_at": ask.desk.now,
        "eval_id": ask.name,
        "name": ask.body.get("name") or "",
        "model": source.get("model") or "",
        "data_source": source,
        "status": "queued",
        "report_url": "",
        "error": None,
        "per_model_usage": [],
        "per_testing_criteria_results": [],
        "result_counts": _results(0),
        "metadata": ask.body.get("metadata") or {},
    }
    steps: list[Step] = [
        lambda _: {"status": "in_progress"},
        lambda _: {"status": "completed", "result_counts": _results(count)},
    ]
    runs: Shelf = kept.inner
    return dict(runs.add(body, ask.weight, steps).body)


def _results(count: int) -> dict[str, int]:
    return {"total": count, "passed": count, "failed": 0, "errored": 0}


def _count(source: Body, resource: Resource) -> int:
    if source.get("type") == "file_id":
        if not resource.files.has(source.get("id")):
            raise missing.FOREIGN_FILE(source.get("id"))
        return len(resource.files.find(source["id"]).inner.splitlines())
    content: Any = source.get("content")
    return len(content) if isinstance(content, list) else 0


def _runs(resource: Resource, ask: Ask) -> Shelf:
    runs: Shelf = resource.evals.find(ask.name).inner
    return runs


def retrieve_run(resource: Resource, ask: Ask) -> Found:
    return _runs(resource, ask).look(ask.names[1], ask.desk.now)


def list_runs(resource: Resource, ask: Ask) -> Found:
    return _runs(resource, ask).page({"order": "asc", **ask.query})


def cancel_run(resource: Resource, ask: Ask) -> Found:
    kept = _runs(resource, ask).find(ask.names[1])
    if kept.steps:
        kept.steps.clear()
        kept.body["status"] = "canceled"
    return kept.body


def delete_run(resource: Resource, ask: Ask) -> Found:
    _runs(resource, ask).drop(ask.names[1])
    return {**deleted(ask.names[1], "eval.run"), "run_id": ask.names[1]}


WAYS: Ways = {
    "POST /evals": create,
    "GET /evals": list_all,
    "GET /evals/{}": retrieve,
    "POST /evals/{}": update,
    "DELETE /evals/{}": delete,
    "POST /evals/{}/runs": create_run,
    "GET /evals/{}/runs": list_runs,
    "GET /evals/{}/runs/{}": retrieve_run,
    "POST /evals/{}/runs/{}": cancel_run,
    "POST /evals/{}/runs/{}/cancel": cancel_run,
    "DELETE /evals/{}/runs/{}": delete_run,
}
