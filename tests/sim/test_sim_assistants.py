"""Assistants, threads and runs belong to one resource, and a run comes to its end by polling or as a stream."""

import json

import openai
import pytest

pytestmark = [
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


async def begun(client, **settings) -> tuple[str, str]:
    """An assistant and a thread with one message."""
    assistant = await client.beta.assistants.create(model="chat", instructions="Be short.", **settings)
    thread = await client.beta.threads.create(messages=[{"role": "user", "content": "hello there"}])
    return assistant.id, thread.id


async def test_a_run_is_polled_to_its_end(pair):
    here = pair[0]
    assistant, thread = await begun(here)
    run = await here.beta.threads.runs.create(thread, assistant_id=assistant)
    assert run.status == "queued"
    seen = [(await here.beta.threads.runs.retrieve(run.id, thread_id=thread)).status for _ in range(3)]
    assert seen == ["in_progress", "completed", "completed"]
    messages = [one async for one in here.beta.threads.messages.list(thread)]
    assert [one.role for one in messages] == ["assistant", "user"]
    assert len(messages[0].content[0].text.value.split()) == 16
    assert messages[0].run_id == run.id
    steps = [one async for one in here.beta.threads.runs.steps.list(run.id, thread_id=thread)]
    assert steps[0].step_details.message_creation.message_id == messages[0].id
    step = await here.beta.threads.runs.steps.retrieve(steps[0].id, thread_id=thread, run_id=run.id)
    assert step.status == "completed"
    assert [one.id async for one in here.beta.threads.runs.list(thread)] == [run.id]


async def test_the_sdks_own_polling(pair):
    here = pair[0]
    assistant, thread = await begun(here)
    run = await here.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant, poll_interval_ms=1)
    assert (run.status, run.usage.completion_tokens) == ("completed", 16)


async def test_a_run_can_be_streamed(pair):
    here = pair[0]
    assistant, thread = await begun(here)
    async with here.beta.threads.runs.stream(thread_id=thread, assistant_id=assistant) as stream:
        kinds = [event.event async for event in stream]
        messages = await stream.get_final_messages()
        run = await stream.get_final_run()
    assert (kinds[0], kinds[-1], run.status) == ("thread.run.created", "thread.run.completed", "completed")
    assert len(messages[0].content[0].text.value.split()) == 16
    kept = await here.beta.threads.messages.retrieve(messages[0].id, thread_id=thread)
    assert kept.content[0].text.value == messages[0].content[0].text.value


async def test_a_thread_and_its_run_are_made_at_once(pair):
    here = pair[0]
    assistant = (await begun(here))[0]
    run = await here.beta.threads.create_and_run_poll(
        assistant_id=assistant, thread={"messages": [{"role": "user", "content": "hi"}]}, poll_interval_ms=1
    )
    assert run.status == "completed"
    stream = await here.beta.threads.create_and_run(assistant_id=assistant, stream=True)
    assert [event.event async for event in stream][-1] == "thread.run.completed"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_asks_for_a_function_and_takes_its_result(pair, stream):
    here = pair[0]
    assistant, thread = await begun(here, tools=[WEATHER])
    run = await here.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant, poll_interval_ms=1)
    assert run.status == "requires_action"
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    assert json.loads(call.function.arguments) == {"city": "sample"}
    outputs = [{"tool_call_id": call.id, "output": "sunny"}]
    where = {"run_id": run.id, "thread_id": thread, "tool_outputs": outputs}
    if stream:
        events = [event async for event in await here.beta.threads.runs.submit_tool_outputs(**where, stream=True)]
        assert events[-1].event == "thread.run.completed"
    else:
        done = await here.beta.threads.runs.submit_tool_outputs_and_poll(**where, poll_interval_ms=1)
        assert done.status == "completed"
    with pytest.raises(openai.BadRequestError):
        await here.beta.threads.runs.submit_tool_outputs(**where)


async def test_a_run_is_cancelled_and_a_busy_thread_takes_no_message(pair):
    here = pair[0]
    assistant, thread = await begun(here)
    run = await here.beta.threads.runs.create(thread, assistant_id=assistant)
    with pytest.raises(openai.BadRequestError):
        await here.beta.threads.messages.create(thread, role="user", content="more")
    with pytest.raises(openai.BadRequestError):
        await here.beta.threads.runs.create(thread, assistant_id=assistant)
    assert (await here.beta.threads.runs.cancel(run.id, thread_id=thread)).status == "cancelling"
    assert (await here.beta.threads.runs.retrieve(run.id, thread_id=thread)).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        await here.beta.threads.runs.cancel(run.id, thread_id=thread)
    await here.beta.threads.messages.create(thread, role="user", content="more")


async def test_nothing_of_this_exists_on_another_resource(pair):
    here, there = pair
    assistant, thread = await begun(here)
    strange = (await begun(there))[1]
    run = await here.beta.threads.runs.create(thread, assistant_id=assistant)
    message = (await anext(aiter(here.beta.threads.messages.list(thread)))).id
    for ask in (
        lambda: there.beta.assistants.retrieve(assistant),
        lambda: there.beta.assistants.delete(assistant),
        lambda: there.beta.threads.retrieve(thread),
        lambda: there.beta.threads.messages.create(thread, role="user", content="x"),
        lambda: there.beta.threads.messages.retrieve(message, thread_id=thread),
        lambda: there.beta.threads.runs.create(thread, assistant_id=assistant),
        lambda: there.beta.threads.runs.create(strange, assistant_id=assistant),
        lambda: there.beta.threads.runs.retrieve(run.id, thread_id=thread),
        lambda: there.beta.threads.runs.cancel(run.id, thread_id=thread),
        lambda: there.beta.threads.create_and_run(assistant_id=assistant),
    ):
        with pytest.raises(openai.NotFoundError):
            await ask()
    assert len([one async for one in there.beta.assistants.list()]) == 1


async def test_an_assistant_searches_the_stores_of_its_own_resource(pair):
    here, there = pair
    name = (await here.files.create(file=("a.txt", b"hello is a greeting"), purpose="assistants")).id
    store = await here.vector_stores.create(name="s", file_ids=[name])
    uses = {"tools": [{"type": "file_search"}], "tool_resources": {"file_search": {"vector_store_ids": [store.id]}}}
    assistant, thread = await begun(here, **uses)
    run = await here.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant, poll_interval_ms=1)
    steps = [one async for one in here.beta.threads.runs.steps.list(run.id, thread_id=thread, order="asc")]
    assert steps[0].step_details.tool_calls[0].file_search.results[0].file_id == name
    with pytest.raises(openai.NotFoundError):
        await begun(there, **uses)
    attached = [{"file_id": name, "tools": [{"type": "file_search"}]}]
    said = {"role": "user", "content": "see this", "attachments": attached}
    assert await here.beta.threads.create(messages=[said])
    with pytest.raises(openai.BadRequestError):
        await there.beta.threads.create(messages=[said])


async def test_the_lives_of_an_assistant_a_thread_and_a_message(pair):
    here = pair[0]
    assistant, thread = await begun(here, name="first")
    assert (await here.beta.assistants.update(assistant, name="second")).name == "second"
    assert (await here.beta.threads.update(thread, metadata={"a": "b"})).metadata == {"a": "b"}
    message = (await anext(aiter(here.beta.threads.messages.list(thread)))).id
    changed = await here.beta.threads.messages.update(message, thread_id=thread, metadata={"c": "d"})
    assert changed.metadata == {"c": "d"}
    run = await here.beta.threads.runs.create(thread, assistant_id=assistant)
    assert (await here.beta.threads.runs.update(run.id, thread_id=thread, metadata={"e": "f"})).metadata == {"e": "f"}
    assert (await here.beta.threads.messages.delete(message, thread_id=thread)).deleted
    assert (await here.beta.threads.delete(thread)).deleted
    assert (await here.beta.assistants.delete(assistant)).deleted
    with pytest.raises(openai.NotFoundError):
        await here.beta.threads.runs.retrieve(run.id, thread_id=thread)
