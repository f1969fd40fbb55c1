"""Runs of assistants: begun, polled through their statuses, given the results of functions, cancelled, streamed."""

from typing import Any

from lb.sim.answer import Answer
from lb.sim.ledger import Usage
from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways, changed
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body, Kept, Shelf
from lb.sim.objects.threads import ACTIVE, begin, put
from lb.sim.objects.working import Work, streamed

ECHOED = {
    "temperature": 1.0,
    "top_p": 1.0,
    "max_prompt_tokens": None,
    "max_completion_tokens": None,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "response_format": "auto",
    "metadata": {},
    "truncation_strategy": {"type": "auto", "last_messages": None},
}
HOUR_PART = 600


def create(resource: Resource, ask: Ask) -> Found:
    """Begin a run of an assistant on a thread."""
    return _start(resource, ask, resource.threads.find(ask.name))


def create_with_thread(resource: Resource, ask: Ask) -> Found:
    """Begin a thread and a run on it."""
    resource.assistants.find(ask.body.get("assistant_id"))
    return _start(resource, ask, begin(resource, ask.body.get("thread") or {}, ask.weight, ask.desk.now))


def _start(resource: Resource, ask: Ask, thread: Kept) -> Found:
    assistant = resource.assistants.find(ask.body.get("assistant_id")).body
    thread.inner.check_idle(thread.body["id"])
    for message in ask.body.get("additional_messages") or ():
        put(resource, thread, message, ask.weight, ask.desk.now)
    body = _run(resource, ask, thread.body["id"], assistant)
    kept = thread.inner.runs.add(body, ask.weight, inner=resource.shelf(missing.STEP))
    work = Work(resource, thread, kept, ask.desk)
    if ask.body.get("stream"):
        return Answer(Usage(), None, tuple(streamed(work)), charged=False)
    kept.steps = [lambda today: {"status": "in_progress", "started_at": today}, lambda today: work.go_on(today)]
    return dict(kept.body)


def _run(resource: Resource, ask: Ask, thread: str, assistant: Body) -> Body:
    said, now = ask.body, ask.desk.now
    echoed = {key: said[key] if said.get(key) is not None else silent for key, silent in ECHOED.items()}
    instructions = said.get("instructions") or assistant["instructions"] or ""
    extra = said.get("additional_instructions")
    return {
        "id": resource.ids("run_"),
        "object": "thread.run",
        "created_at": now,
        "thread_id": thread,
        "assistant_id": assistant["id"],
        "status": "queued",
        "expires_at": now + HOUR_PART,
        "model": said.get("model") or assistant["model"],
        "instructions": f"{instructions} {extra}" if extra else instructions,
        "tools": assistant["tools"] if said.get("tools") is None else said["tools"],
        "usage": None,
        "required_action": None,
        "last_error": None,
        "incomplete_details": None,
        **dict.fromkeys(("started_at", "completed_at", "cancelled_at", "failed_at")),
        **echoed,
    }


def _runs(resource: Resource, ask: Ask) -> Shelf:
    runs: Shelf = resource.threads.find(ask.name).inner.runs
    return runs


def retrieve(resource: Resource, ask: Ask) -> Found:
    return _runs(resource, ask).look(ask.names[1], ask.desk.now)


def list_all(resource: Resource, ask: Ask) -> Found:
    return _runs(resource, ask).page(ask.query)


def update(resource: Resource, ask: Ask) -> Found:
    return changed(_runs(resource, ask).find(ask.names[1]).body, ask.body, "metadata")


def cancel(resource: Resource, ask: Ask) -> Found:
    """Cancel a run that is not over; it is cancelled when it is looked at again."""
    kept = _runs(resource, ask).find(ask.names[1])
    if kept.body["status"] not in ACTIVE:
        raise wrong(f"Cannot cancel run with status '{kept.body['status']}'.")
    kept.steps = [lambda today: {"status": "cancelled", "cancelled_at": today}]
    kept.body |= {"status": "cancelling", "required_action": None}
    return dict(kept.body)


def submit(resource: Resource, ask: Ask) -> Found:
    """Bring the results of the functions that the run asked for."""
    thread = resource.threads.find(ask.name)
    kept = thread.inner.runs.find(ask.names[1])
    if kept.body["status"] != "requires_action":
        raise wrong(f'Runs in status "{kept.body["status"]}" do not accept tool outputs.')
    work = Work(resource, thread, kept, ask.desk, _outputs(ask.body))
    kept.body |= {"status": "queued", "required_action": None}
    if ask.body.get("stream"):
        return Answer(Usage(), None, tuple(streamed(work)), charged=False)
    kept.steps = [lambda _: {"status": "in_progress"}, lambda today: work.go_on(today)]
    return dict(kept.body)


def _outputs(said: Body) -> list[Any]:
    return [{"role": "tool", "content": one.get("output") or ""} for one in said.get("tool_outputs") or ()]


def _steps(resource: Resource, ask: Ask) -> Shelf:
    steps: Shelf = _runs(resource, ask).find(ask.names[1]).inner
    return steps


def list_steps(resource: Resource, ask: Ask) -> Found:
    return _steps(resource, ask).page(ask.query)


def retrieve_step(resource: Resource, ask: Ask) -> Found:
    return _steps(resource, ask).find(ask.names[2]).body


WAYS: Ways = {
    "POST /threads/runs": create_with_thread,
    "POST /threads/{}/runs": create,
    "GET /threads/{}/runs": list_all,
    "GET /threads/{}/runs/{}": retrieve,
    "POST /threads/{}/runs/{}": update,
    "POST /threads/{}/runs/{}/cancel": cancel,
    "POST /threads/{}/runs/{}/submit_tool_outputs": submit,
    "GET /threads/{}/runs/{}/steps": list_steps,
    "GET /threads/{}/runs/{}/steps/{}": retrieve_step,
}
