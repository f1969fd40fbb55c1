"""What users do with objects that live on one resource, by the official SDK. Each script checks what it gets.

Between any two steps a script calls `pause`: whoever runs it may do something to the balancer there.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from openai import AsyncAzureOpenAI, AsyncOpenAI

Pause = Callable[[], Awaitable[None]]
Script = Callable[[AsyncOpenAI, Pause], Awaitable[None]]
POLL = 5
"""Milliseconds between two looks at a job."""
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
TEXT = b"The contract was signed in Lisbon."


async def nothing() -> None:
    """A pause in which nothing happens."""


async def streamed(stream: Any) -> Any:
    """The response of a stream that was read to its end."""
    events = [event async for event in stream]
    assert events[-1].type == "response.completed", events[-1]
    return events[-1].response


async def listed(pages: Any) -> list[str]:
    return [item.id async for item in pages]


async def chain(client: AsyncOpenAI, pause: Pause) -> None:
    """Five turns, two of them streamed, then a look back."""
    previous, prompt = None, 0
    for turn in range(5):
        asked: dict[str, Any] = {"model": "chat", "input": f"turn {turn}", "previous_response_id": previous}
        if turn % 2:
            made = await streamed(await client.responses.create(**asked, stream=True))
        else:
            made = await client.responses.create(**asked)
        assert made.previous_response_id == previous
        assert made.usage.input_tokens > prompt, "it has read less than the turn before it"
        previous, prompt = made.id, made.usage.input_tokens
        await pause()
    assert (await client.responses.retrieve(previous)).id == previous
    await pause()
    assert len(await listed(client.responses.input_items.list(previous, limit=4))) == 9
    await pause()
    await client.responses.delete(previous)


async def background(client: AsyncOpenAI, pause: Pause) -> None:
    """A response in the background, polled; another one cancelled; a stream taken up again."""
    made = await client.responses.create(model="chat", input="hello", background=True)
    await pause()
    while made.status in ("queued", "in_progress"):
        made = await client.responses.retrieve(made.id)
    assert made.output_text
    other = await client.responses.create(model="chat", input="hello", background=True)
    await pause()
    assert (await client.responses.cancel(other.id)).status == "cancelled"
    stream = await client.responses.create(model="chat", input="hello", background=True, stream=True)
    first = await anext(aiter(stream))
    await stream.close()
    await pause()
    await streamed(await client.responses.retrieve(first.response.id, stream=True, starting_after=0))


async def conversation(client: AsyncOpenAI, pause: Pause) -> None:
    """Three responses in one conversation, then its items."""
    talk = await client.conversations.create(items=[{"type": "message", "role": "user", "content": "first"}])
    for turn in range(3):
        await pause()
        asked: dict[str, Any] = {"model": "chat", "input": f"turn {turn}", "conversation": talk.id}
        if turn == 1:
            await streamed(await client.responses.create(**asked, stream=True))
        else:
            assert (await client.responses.create(**asked)).output_text
    await pause()
    items = await listed(client.conversations.items.list(talk.id, order="asc", limit=3))
    assert len(items) == 7
    await pause()
    assert (await client.conversations.items.retrieve(items[-1], conversation_id=talk.id)).id == items[-1]
    await pause()
    await client.conversations.delete(talk.id)


async def batch(client: AsyncOpenAI, pause: Pause) -> None:
    """A file, a batch that reads it, and the file that the batch makes."""
    asked = [
        {"custom_id": f"line-{i}", "method": "POST", "url": "/v1/chat/completions", "body": CHAT} for i in range(3)
    ]
    source = await client.files.create(
        file=("asked.jsonl", "\n".join(map(json.dumps, asked)).encode()), purpose="batch"
    )
    await pause()
    job = await client.batches.create(input_file_id=source.id, endpoint="/v1/chat/completions", completion_window="24h")
    while job.status != "completed":
        await pause()
        job = await client.batches.retrieve(job.id)
        assert job.status in ("in_progress", "finalizing", "completed")
    assert job.output_file_id
    await pause()
    answers = (await client.files.content(job.output_file_id)).text.splitlines()
    assert [json.loads(line)["custom_id"] for line in answers] == ["line-0", "line-1", "line-2"]
    await pause()
    for name in (source.id, job.output_file_id):
        assert (await client.files.delete(name)).deleted


async def assistant(client: AsyncOpenAI, pause: Pause) -> None:
    """An assistant, a thread, a run that is polled and a run that is streamed."""
    helper = await client.beta.assistants.create(model="chat", instructions="Be short.")
    await pause()
    thread = await client.beta.threads.create(messages=[{"role": "user", "content": "hello"}])
    await pause()
    run = await client.beta.threads.runs.create(thread.id, assistant_id=helper.id)
    await pause()
    run = await client.beta.threads.runs.poll(run.id, thread_id=thread.id, poll_interval_ms=POLL)
    assert run.status == "completed"
    await pause()
    await client.beta.threads.messages.create(thread.id, role="user", content="go on")
    await pause()
    async with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=helper.id) as stream:
        await stream.until_done()
        assert (await stream.get_final_run()).status == "completed"
    await pause()
    assert len(await listed(client.beta.threads.messages.list(thread.id, limit=3))) == 4
    assert len(await listed(client.beta.threads.runs.steps.list(run.id, thread_id=thread.id))) == 1
    await pause()
    assert (await client.beta.threads.delete(thread.id)).deleted
    assert (await client.beta.assistants.delete(helper.id)).deleted


async def vector_store(client: AsyncOpenAI, pause: Pause) -> None:
    """A file in a vector store, found by a search and by a response's file search."""
    file = await client.files.create(file=("contract.txt", TEXT), purpose="assistants")
    await pause()
    store = await client.vector_stores.create(name="contracts")
    await pause()
    held = await client.vector_stores.files.create(store.id, file_id=file.id)
    await pause()
    held = await client.vector_stores.files.poll(held.id, vector_store_id=store.id, poll_interval_ms=POLL)
    assert held.status == "completed"
    await pause()
    found = [one async for one in client.vector_stores.search(store.id, query="signed where?")]
    assert found[0].file_id == file.id
    await pause()
    made = await client.responses.create(
        model="chat",
        input="Where was the contract signed?",
        tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
        include=["file_search_call.results"],
    )
    assert made.output[0].type == "file_search_call"
    assert made.output[0].results
    assert made.output[0].results[0].text == TEXT.decode()
    await pause()
    assert (await client.vector_stores.delete(store.id)).deleted
    assert (await client.files.delete(file.id)).deleted


async def container(client: AsyncOpenAI, pause: Pause) -> None:
    """A container with a file, code that runs in it, and the file that the code makes."""
    work = await client.containers.create(name="work")
    await pause()
    own = await client.containers.files.create(work.id, file=("contract.txt", TEXT))
    await pause()
    made = await client.responses.create(
        model="chat", input="Run it.", tools=[{"type": "code_interpreter", "container": work.id}]
    )
    cited = made.output[-1].content[0].annotations[0]  # type: ignore[union-attr]
    await pause()
    content = await client.containers.files.content.retrieve(cited.file_id, container_id=cited.container_id)
    assert content.content == b"done"
    await pause()
    assert sorted(await listed(client.containers.files.list(work.id))) == sorted([own.id, cited.file_id])
    await pause()
    assert (await client.containers.files.content.retrieve(own.id, container_id=work.id)).content == TEXT
    await pause()
    await client.containers.delete(work.id)


async def encrypted(client: AsyncOpenAI, pause: Pause) -> None:
    """A conversation that the client keeps by itself, with sealed reasoning."""
    turns: list[Any] = []
    for turn in range(4):
        turns.append({"role": "user", "content": f"turn {turn}"})
        asked: dict[str, Any] = {"model": "chat", "input": turns, "store": False, "reasoning": {"effort": "low"}}
        asked["include"] = ["reasoning.encrypted_content"]
        if turn % 2:
            made = await streamed(await client.responses.create(**asked, stream=True))
        else:
            made = await client.responses.create(**asked)
        assert made.output[0].encrypted_content
        turns += [item.to_dict() for item in made.output]
        await pause()


async def tuning(client: AsyncOpenAI, pause: Pause) -> None:
    """A file uploaded in parts, a fine-tuning job that reads it, and the file that the job makes."""
    upload = await client.uploads.create(
        bytes=len(TEXT), filename="t.jsonl", mime_type="text/plain", purpose="fine-tune"
    )
    await pause()
    parts = [(await client.uploads.parts.create(upload.id, data=data)).id for data in (TEXT[:10], TEXT[10:])]
    await pause()
    done = await client.uploads.complete(upload.id, part_ids=parts)
    assert done.file
    await pause()
    job = await client.fine_tuning.jobs.create(model="gpt", training_file=done.file.id)
    while job.status != "succeeded":
        await pause()
        job = await client.fine_tuning.jobs.retrieve(job.id)
    await pause()
    assert len(await listed(client.fine_tuning.jobs.list_events(job.id, limit=1))) == 2
    await pause()
    assert (await client.files.content(job.result_files[0])).text.startswith("step")


async def evaluation(client: AsyncOpenAI, pause: Pause) -> None:
    """An eval, a run of it over a file, and a video."""
    file = await client.files.create(file=("e.jsonl", b'{"item":{}}'), purpose="evals")
    await pause()
    made = await client.evals.create(
        name="e", data_source_config={"type": "custom", "item_schema": {"type": "object"}}, testing_criteria=[]
    )
    await pause()
    source: Any = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    run = await client.evals.runs.create(made.id, name="r", data_source=source)
    await pause()
    for _ in range(2):
        run = await client.evals.runs.retrieve(run.id, eval_id=made.id)  # type: ignore[assignment]
    assert (run.status, run.result_counts.passed) == ("completed", 1)
    video = await client.videos.create(prompt="a lighthouse")
    await pause()
    while video.status != "completed":
        video = await client.videos.retrieve(video.id)
    await pause()
    assert b"ftyp" in (await client.videos.download_content(video.id)).content


SCRIPTS: dict[str, Script] = {
    "chain": chain,
    "background": background,
    "conversation": conversation,
    "batch": batch,
    "assistant": assistant,
    "vector_store": vector_store,
    "container": container,
    "encrypted": encrypted,
    "tuning": tuning,
    "evaluation": evaluation,
}


def client_of(url: str, form: str) -> AsyncOpenAI:
    """A client that gives up at once, of the form `azure` or `v1`."""
    if form == "azure":
        return AsyncAzureOpenAI(azure_endpoint=url, api_key="own", api_version="2025-04-01-preview", max_retries=0)
    return AsyncOpenAI(base_url=f"{url}/openai/v1", api_key="own", max_retries=0)


class Held:
    """A script that stops at one of its pauses until it is let go."""

    def __init__(self, script: Script, client: AsyncOpenAI, at: int) -> None:
        self._at = at
        self._seen = 0
        self._there = asyncio.Event()
        self.go = asyncio.Event()
        self.over = asyncio.create_task(script(client, self._pause))

    async def _pause(self) -> None:
        self._seen += 1
        if self._seen - 1 == self._at:
            self._there.set()
            await self.go.wait()

    async def there(self) -> None:
        """Wait until it stops. Raises what the script raised before."""
        waiting = asyncio.create_task(self._there.wait())
        await asyncio.wait({waiting, self.over}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.over.done():
            self.over.result()


async def count_pauses(script: Script, client: AsyncOpenAI) -> int:
    """How many pauses a script has."""
    count = 0

    async def counted() -> None:
        nonlocal count
        count += 1

    await script(client, counted)
    return count
