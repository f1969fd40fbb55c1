"""What happens in a run: the assistant reads the thread, and says something or asks for a function."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from lb.sim.answer import Desk, Event, Speech, compose
from lb.sim.objects.resource import Resource
from lb.sim.objects.search import search
from lb.sim.objects.shelf import Body, Kept
from lb.sim.objects.threads import put

MOST_RESULTS = 20


@dataclass(slots=True)
class Work:
    """One run and all that it reads and writes."""

    resource: Resource
    thread: Kept
    run: Kept
    desk: Desk
    outputs: list[Any] = field(default_factory=list)
    """The results of functions that the client has brought."""

    def speech(self) -> Speech:
        """Decide what to say to all that stands in the thread."""
        said = [{"role": kept.body["role"], "content": _texts(kept.body)} for kept in self.thread.inner.messages]
        run = self.run.body
        body = {"instructions": run["instructions"], "messages": said + self.outputs, "tools": run["tools"]}
        if run["max_completion_tokens"]:
            body["max_completion_tokens"] = run["max_completion_tokens"]
        return compose(body, self.desk)

    def go_on(self, today: int) -> Body:
        """Do the work at once; what has changed in the run."""
        speech = self.speech()
        if speech.tool is not None:
            return self.asks_for(speech)
        self.searched(today)
        self.says(speech, today)
        return self.over(speech, today)

    def asks_for(self, speech: Speech) -> Body:
        """The run waits for the client to call a function."""
        function = {"name": speech.tool, "arguments": speech.text}
        call = {"id": self.resource.ids("call_"), "type": "function", "function": function}
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
        return {"status": "requires_action", "required_action": action}

    def searched(self, today: int) -> None:
        """A step for the search of files, where the assistant has stores to search in."""
        if not any(tool.get("type") == "file_search" for tool in self.run.body["tools"]):
            return
        query = " ".join(_texts(kept.body) for kept in self.thread.inner.messages)
        results = [
            {"file_id": found["file_id"], "file_name": found["filename"], "score": found["score"]}
            for found in search(self.resource, self._stores(), query, MOST_RESULTS)
        ]
        call = {"id": self.resource.ids("call_"), "type": "file_search", "file_search": {"results": results}}
        self.step("tool_calls", {"tool_calls": [call]}, today)

    def _stores(self) -> list[str]:
        """The stores of the assistant and of the thread that are still there."""
        named: list[str] = []
        assistants = self.resource.assistants
        for held in (assistants, self.resource.threads):
            name = self.run.body["assistant_id" if held is assistants else "thread_id"]
            if held.has(name):
                used = held.find(name).body["tool_resources"] or {}
                named += (used.get("file_search") or {}).get("vector_store_ids") or []
        return [name for name in named if self.resource.vector_stores.has(name)]

    def says(self, speech: Speech, today: int) -> tuple[Body, Body]:
        """The assistant's message, and the step that made it."""
        said = {"role": "assistant", "content": speech.text}
        message = put(self.resource, self.thread, said, 0, today, self.run.body)
        return message, self.step("message_creation", {"message_creation": {"message_id": message["id"]}}, today)

    def step(self, kind: str, details: Body, today: int) -> Body:
        """One more step of the run, done."""
        run = self.run.body
        body = {
            "id": self.resource.ids("step_"),
            "object": "thread.run.step",
            "created_at": today,
            "run_id": run["id"],
            "assistant_id": run["assistant_id"],
            "thread_id": run["thread_id"],
            "type": kind,
            "status": "completed",
            "step_details": {"type": kind, **details},
            "completed_at": today,
            "usage": None,
            "last_error": None,
            "metadata": {},
            **dict.fromkeys(("cancelled_at", "failed_at", "expired_at")),
        }
        steps: Any = self.run.inner
        made: Body = steps.add(body).body
        return made

    def over(self, speech: Speech, today: int) -> Body:
        """The end of a run that went well."""
        used = speech.usage
        usage = {"prompt_tokens": used.prompt, "completion_tokens": used.completion, "total_tokens": used.total}
        if speech.cut:
            return {"status": "incomplete", "incomplete_details": {"reason": "max_completion_tokens"}, "usage": usage}
        return {"status": "completed", "completed_at": today, "usage": usage}


def _texts(message: Body) -> str:
    return " ".join(part["text"]["value"] for part in message["content"] if part.get("type") == "text")


def _event(name: str, body: Body, tokens: int = 0, opening: bool = False) -> Event:
    return Event(orjson.dumps(body), name, tokens, opening)


def streamed(work: Work) -> Iterator[Event]:
    """The same work as a stream of events; the run is over when the last one has been made."""
    run, now = work.run.body, work.desk.now
    yield _event("thread.run.created", run, opening=True)
    yield _event("thread.run.queued", run, opening=True)
    run |= {"status": "in_progress", "started_at": now}
    yield _event("thread.run.in_progress", run, opening=True)
    speech = work.speech()
    if speech.tool is not None:
        run |= work.asks_for(speech)
        yield _event("thread.run.requires_action", run)
    else:
        work.searched(now)
        yield from _spoken(work, speech, now)
        run |= work.over(speech, now)
        yield _event(f"thread.run.{run['status']}", run)
    yield Event(b"[DONE]", "done")


def _spoken(work: Work, speech: Speech, now: int) -> Iterator[Event]:
    message, step = work.says(speech, now)
    young = {"status": "in_progress", "completed_at": None}
    yield _event("thread.run.step.created", {**step, **young})
    yield _event("thread.run.step.in_progress", {**step, **young})
    yield _event("thread.message.created", {**message, **young, "content": []})
    yield _event("thread.message.in_progress", {**message, **young, "content": []})
    for part in speech.parts:
        content = {"index": 0, "type": "text", "text": {"value": part, "annotations": []}}
        delta = {"id": message["id"], "object": "thread.message.delta", "delta": {"content": [content]}}
        yield _event("thread.message.delta", delta, tokens=1)
    yield _event("thread.message.completed", message)
    yield _event("thread.run.step.completed", step)
