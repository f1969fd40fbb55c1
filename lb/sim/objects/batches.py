"""Batches: the lines of an input file are answered one by one, and an output file appears when the job is over."""

from collections.abc import Iterator
from typing import Any

import orjson

from lb.sim.answer import Answer, Desk
from lb.sim.chat import chat, completions
from lb.sim.objects import missing
from lb.sim.objects.ask import Ask, Found, Ways
from lb.sim.objects.context import gather
from lb.sim.objects.files import put
from lb.sim.objects.missing import Refused, wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body
from lb.sim.responses import respond
from lb.sim.vectors import embeddings

ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/responses")
MOST_LINES = 50_000
DAY = 86_400


def create(resource: Resource, ask: Ask) -> Found:
    """Begin a job; its file must be on this resource."""
    source, endpoint = str(ask.body.get("input_file_id")), ask.body.get("endpoint", "")
    if not resource.files.has(source):
        raise missing.FOREIGN_FILE(source)
    if _plain(endpoint) not in ENDPOINTS:
        raise wrong(f"Invalid value: '{endpoint}' is not an endpoint of batches.", "endpoint", "invalid_value")
    body = {
        "id": resource.ids("batch_"),
        "object": "batch",
        "endpoint": endpoint,
        "input_file_id": source,
        "completion_window": ask.body.get("completion_window", "24h"),
        "status": "validating",
        "created_at": ask.desk.now,
        "expires_at": ask.desk.now + DAY,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": ask.body.get("metadata"),
        "errors": None,
        "output_file_id": None,
        "error_file_id": None,
    } | dict.fromkeys(f"{word}_at" for word in ("in_progress", "finalizing", "completed", "failed", "expired"))
    body |= {"cancelling_at": None, "cancelled_at": None}
    desk = ask.desk
    steps = [
        lambda today: {"status": "in_progress", "in_progress_at": today},
        lambda today: {"status": "finalizing", "finalizing_at": today},
        lambda today: {"status": "completed", "completed_at": today} | _work(resource, source, desk),
    ]
    return resource.batches.add(body, ask.weight, steps).body


def _plain(endpoint: Any) -> str:
    """An endpoint without the version that OpenAI's form has in front."""
    return str(endpoint).removeprefix("/v1")


def _work(resource: Resource, source: str, desk: Desk) -> Body:
    """Answer every line; what a batch did not manage goes to a file of its own."""
    lines = resource.files.find(source).inner.splitlines() if resource.files.has(source) else []
    good: list[Body] = []
    bad: list[Body] = []
    for result in _results(resource, lines[:MOST_LINES], desk):
        worked = result["error"] is None and result["response"]["status_code"] == 200
        (good if worked else bad).append(result)
    return {
        "request_counts": {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)},
        "output_file_id": _file(resource, "output", good, desk.now),
        "error_file_id": _file(resource, "error", bad, desk.now),
    }


def _file(resource: Resource, name: str, results: list[Body], now: int) -> str | None:
    if not results:
        return None
    content = b"".join(orjson.dumps(result) + b"\n" for result in results)
    made: str = put(resource, f"{name}.jsonl", content, "batch_output", now)["id"]
    return made


def _results(resource: Resource, lines: list[bytes], desk: Desk) -> Iterator[Body]:
    for line in lines:
        if not line.strip():
            continue
        result: Body = {"id": resource.ids("batch_req_"), "custom_id": None, "response": None, "error": None}
        try:
            asked = orjson.loads(line)
            result["custom_id"] = asked["custom_id"]
            answer = _answer(resource, _plain(asked["url"]), asked["body"], desk)
            result["response"] = {"status_code": 200, "request_id": desk.ids.uuid(), "body": answer.body}
        except Refused as refused:
            told = {"status_code": refused.refusal.status, "request_id": desk.ids.uuid()}
            result["response"] = {**told, "body": refused.refusal.body}
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            result["error"] = {"code": "invalid_request", "message": "The line is not a valid request."}
        yield result


def _answer(resource: Resource, url: str, said: Body, desk: Desk) -> Answer:
    body = {**said, "stream": False}
    match url:
        case "/chat/completions":
            return chat(body, desk)
        case "/completions":
            return completions(body, desk)
        case "/embeddings":
            return embeddings(body, desk)
        case "/responses":
            return respond(gather(body, resource), desk, resource)
    raise wrong(f"Invalid URL: '{url}'.", "url", "invalid_url")


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.batches.look(ask.name, ask.desk.now)


def list_all(resource: Resource, ask: Ask) -> Found:
    return resource.batches.page(ask.query)


def cancel(resource: Resource, ask: Ask) -> Found:
    """Cancel a job that is not over; it is cancelled when it is looked at again."""
    kept = resource.batches.find(ask.name)
    if kept.body["status"] not in ("validating", "in_progress", "finalizing"):
        raise wrong(f"Cannot cancel a batch with status '{kept.body['status']}'.")
    kept.steps = [lambda today: {"status": "cancelled", "cancelled_at": today}]
    kept.body |= {"status": "cancelling", "cancelling_at": ask.desk.now}
    return kept.body


WAYS: Ways = {
    "POST /batches": create,
    "GET /batches": list_all,
    "GET /batches/{}": retrieve,
    "POST /batches/{}/cancel": cancel,
}
