"""Fine-tuning jobs: they read a file and come to a model, with events and a checkpoint on the way."""

from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways
from lb.sim.objects.files import put
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body, Kept, page

OVER = ("succeeded", "failed", "cancelled")
METRICS = b"step,train_loss\n1,0.5\n"


def create(resource: Resource, ask: Ask) -> Found:
    """Begin a job; its files must be on this resource."""
    for key in ("training_file", "validation_file"):
        name = ask.body.get(key)
        if (name or key == "training_file") and not resource.files.has(name):
            raise missing.FOREIGN_FILE(name)
    body = {
        "id": resource.ids("ftjob-"),
        "object": "fine_tuning.job",
        "created_at": ask.desk.now,
        "finished_at": None,
        "model": ask.body.get("model") or "",
        "fine_tuned_model": None,
        "organization_id": "org-simulated",
        "result_files": [],
        "status": "validating_files",
        "training_file": ask.body["training_file"],
        "validation_file": ask.body.get("validation_file"),
        "hyperparameters": {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"},
        "trained_tokens": None,
        "seed": ask.body.get("seed") or 0,
        "metadata": ask.body.get("metadata"),
        "error": None,
    }
    kept = resource.fine_tunes.add(body, ask.weight, inner=[])
    _say(resource, kept, "Created fine-tuning job", ask.desk.now)
    kept.steps = [lambda _: {"status": "running"}, lambda today: _done(resource, kept, today)]
    return dict(kept.body)


def _say(resource: Resource, kept: Kept, message: str, now: int) -> None:
    event = {"id": resource.ids("ftevent-"), "object": "fine_tuning.job.event", "created_at": now}
    kept.inner.append({**event, "level": "info", "message": message, "type": "message", "data": {}})


def _done(resource: Resource, kept: Kept, today: int) -> Body:
    result = put(resource, "step_metrics.csv", METRICS, "fine-tune-results", today)
    _say(resource, kept, "The job has successfully completed", today)
    model = f"{kept.body['model']}.ft-{kept.body['id'].removeprefix('ftjob-')}"
    done = {"status": "succeeded", "finished_at": today, "fine_tuned_model": model, "trained_tokens": 100}
    return {**done, "result_files": [result["id"]]}


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.fine_tunes.look(ask.name, ask.desk.now)


def list_all(resource: Resource, ask: Ask) -> Found:
    return resource.fine_tunes.page(ask.query)


def cancel(resource: Resource, ask: Ask) -> Found:
    return _set(resource, ask, "cancelled")


def pause(resource: Resource, ask: Ask) -> Found:
    return _set(resource, ask, "paused")


def resume(resource: Resource, ask: Ask) -> Found:
    return _set(resource, ask, "running")


def _set(resource: Resource, ask: Ask, status: str) -> Body:
    kept = resource.fine_tunes.find(ask.name)
    if kept.body["status"] in OVER:
        raise wrong(f"The job has status '{kept.body['status']}'.")
    if status == "cancelled":
        kept.steps.clear()
    kept.body["status"] = status
    return kept.body


def events(resource: Resource, ask: Ask) -> Found:
    return page(resource.fine_tunes.find(ask.name).inner, ask.query, missing.FINE_TUNE)


def checkpoints(resource: Resource, ask: Ask) -> Found:
    """One, once the job went well."""
    job = resource.fine_tunes.find(ask.name).body
    if job["status"] != "succeeded":
        return page([], ask.query, missing.FINE_TUNE)
    body = {
        "id": f"ftckpt-{ask.name.removeprefix('ftjob-')}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": job["finished_at"],
        "fine_tuned_model_checkpoint": f"{job['fine_tuned_model']}:ckpt-step-1",
        "fine_tuning_job_id": ask.name,
        "metrics": {"step": 1, "train_loss": 0.5},
        "step_number": 1,
    }
    return page([body], ask.query, missing.FINE_TUNE)


WAYS: Ways = {
    "POST /fine_tuning/jobs": create,
    "GET /fine_tuning/jobs": list_all,
    "GET /fine_tuning/jobs/{}": retrieve,
    "POST /fine_tuning/jobs/{}/cancel": cancel,
    "POST /fine_tuning/jobs/{}/pause": pause,
    "POST /fine_tuning/jobs/{}/resume": resume,
    "GET /fine_tuning/jobs/{}/events": events,
    "GET /fine_tuning/jobs/{}/checkpoints": checkpoints,
}
