"""Vector stores and containers: what a response can use only on the resource that has it."""

import openai
import pytest


async def uploaded(client, text: str = "The answer is forty-two.", purpose: str = "assistants") -> str:
    return (await client.files.create(file=("answer.txt", text.encode()), purpose=purpose)).id


async def filled(client) -> tuple[str, str]:
    """A vector store with a file in it."""
    name = await uploaded(client)
    store = await client.vector_stores.create(name="answers", file_ids=[name])
    return store.id, name


async def test_a_vector_stores_files_come_to_be_ready(pair):
    here, there = pair
    names = [await uploaded(here, f"text number {i}") for i in range(3)]
    store = await here.vector_stores.create(name="s", file_ids=names[:1], metadata={"a": "b"})
    assert (store.status, store.file_counts.in_progress) == ("in_progress", 1)
    first = await here.vector_stores.files.poll(names[0], vector_store_id=store.id, poll_interval_ms=1)
    assert (first.status, first.usage_bytes) == ("completed", len("text number 0"))
    batch = await here.vector_stores.file_batches.create_and_poll(store.id, file_ids=names[1:], poll_interval_ms=1)
    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    inside = [file.id async for file in here.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)]
    assert sorted(inside) == sorted(names[1:])
    store = await here.vector_stores.retrieve(store.id)
    assert (store.status, store.file_counts.total) == ("completed", 3)
    assert [file.id async for file in here.vector_stores.files.list(store.id, order="asc")] == names
    assert [one.id async for one in here.vector_stores.list()] == [store.id]
    assert not [one async for one in there.vector_stores.list()]


async def test_a_vector_store_takes_only_files_of_its_own_resource(pair):
    here, there = pair
    store, name = await filled(here)
    other = await there.vector_stores.create(name="other")
    for ask in (
        lambda: there.vector_stores.create(name="x", file_ids=[name]),
        lambda: there.vector_stores.files.create(other.id, file_id=name),
        lambda: there.vector_stores.file_batches.create(other.id, file_ids=[name]),
    ):
        with pytest.raises(openai.NotFoundError) as wrong:
            await ask()
        assert wrong.value.body["message"] == f"Files [{name}] were not found"
    for ask in (
        lambda: there.vector_stores.retrieve(store),
        lambda: there.vector_stores.search(store, query="answer"),
        lambda: there.vector_stores.files.retrieve(name, vector_store_id=store),
        lambda: there.vector_stores.delete(store),
    ):
        with pytest.raises(openai.NotFoundError):
            await ask()


async def test_a_search_finds_common_words(pair):
    here = pair[0]
    store, name = await filled(here)
    await here.vector_stores.files.create(store, file_id=await uploaded(here, "nothing of the kind"))
    found = [one async for one in here.vector_stores.search(store, query="what is the answer?")]
    assert (found[0].file_id, found[0].content[0].text) == (name, "The answer is forty-two.")
    content = [part async for part in here.vector_stores.files.content(name, vector_store_id=store)]
    assert content[0].text == "The answer is forty-two."


async def test_a_vector_stores_life(pair):
    here = pair[0]
    store, name = await filled(here)
    assert (await here.vector_stores.update(store, name="new")).name == "new"
    changed = await here.vector_stores.files.update(name, vector_store_id=store, attributes={"year": 2026})
    assert changed.attributes == {"year": 2026}
    assert (await here.vector_stores.files.delete(name, vector_store_id=store)).deleted
    assert (await here.vector_stores.delete(store)).deleted
    assert (await here.files.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError):
        await here.vector_stores.retrieve(store)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_searches_files_only_where_they_are(pair, stream):
    here, there = pair
    store, name = await filled(here)
    asked = {
        "model": "chat",
        "input": "what is the answer?",
        "tools": [{"type": "file_search", "vector_store_ids": [store]}],
        "include": ["file_search_call.results"],
    }
    made = await here.responses.create(**asked, stream=stream)
    if stream:
        made = [event async for event in made][-1].response
    call, message = made.output
    assert (call.type, call.results[0].text) == ("file_search_call", "The answer is forty-two.")
    assert message.content[0].annotations[0].file_id == name
    with pytest.raises(openai.NotFoundError):
        await there.responses.create(**asked)


async def test_a_file_given_to_a_response_must_be_there(pair):
    here, there = pair
    name = await uploaded(here, purpose="user_data")
    said = [{"role": "user", "content": [{"type": "input_file", "file_id": name}]}]
    assert (await here.responses.create(model="chat", input=said)).output_text
    with pytest.raises(openai.BadRequestError) as wrong:
        await there.responses.create(model="chat", input=said)
    assert "ownership verification failure" in wrong.value.body["message"]


async def test_a_containers_life(pair):
    here, there = pair
    source = await uploaded(here)
    made = await here.containers.create(name="work", file_ids=[source])
    own = await here.containers.files.create(made.id, file=("own.bin", b"\x00\x01"))
    copy = await here.containers.files.create(made.id, file_id=source)
    assert (own.bytes, own.path, own.source) == (2, "/mnt/data/own.bin", "user")
    listed = [file.id async for file in here.containers.files.list(made.id, order="asc")]
    assert listed[1:] == [own.id, copy.id]
    content = await here.containers.files.content.retrieve(own.id, container_id=made.id)
    assert content.content == b"\x00\x01"
    assert (await here.containers.files.retrieve(own.id, container_id=made.id)).id == own.id
    for ask in (
        lambda: there.containers.retrieve(made.id),
        lambda: there.containers.files.retrieve(own.id, container_id=made.id),
        lambda: there.containers.files.content.retrieve(own.id, container_id=made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await ask()
    with pytest.raises(openai.BadRequestError):
        await there.containers.create(name="x", file_ids=[source])
    await here.containers.files.delete(own.id, container_id=made.id)
    await here.containers.delete(made.id)
    assert not [one async for one in here.containers.list()]


async def test_code_runs_in_the_container_that_is_named_or_in_a_new_one(pair):
    here, there = pair
    made = await here.containers.create(name="work")
    source = await uploaded(here)
    for container, expected in ((made.id, made.id), ({"type": "auto", "file_ids": [source]}, None)):
        asked = {"model": "chat", "input": "go", "tools": [{"type": "code_interpreter", "container": container}]}
        answer = await here.responses.create(**asked)
        call, message = answer.output
        cited = message.content[0].annotations[0]
        assert call.container_id == cited.container_id
        assert expected in (None, call.container_id)
        content = await here.containers.files.content.retrieve(cited.file_id, container_id=cited.container_id)
        assert content.content == b"done"
        with pytest.raises(openai.APIStatusError) as wrong:
            await there.responses.create(**asked)
        assert wrong.value.status_code == (404 if expected else 400)
