"""Stored responses and conversations: what belongs to one resource and what the official SDK makes of it."""

import openai
import pytest
from sdk import clients

SEALED = {"store": False, "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}


async def test_a_chain_reads_all_that_was_said_before(pair):
    here = pair[0]
    prompts, previous = [], None
    for turn in range(5):
        stream = turn % 2 == 1
        made = await here.responses.create(
            model="chat", input=f"turn {turn}", stream=stream, previous_response_id=previous
        )
        if stream:
            made = [event async for event in made][-1].response
        previous = made.id
        prompts.append(made.usage.input_tokens)
    assert prompts == sorted(set(prompts))
    items = [item async for item in here.responses.input_items.list(previous, order="asc", limit=2)]
    assert [item.role for item in items] == ["user", "assistant"] * 4 + ["user"]
    assert items[0].content[0].text == "turn 0"


async def test_another_resource_knows_no_previous_response(pair):
    here, there = pair
    made = await here.responses.create(model="chat", input="hello")
    with pytest.raises(openai.BadRequestError) as wrong:
        await there.responses.create(model="chat", input="go on", previous_response_id=made.id)
    assert (wrong.value.code, wrong.value.param) == ("previous_response_not_found", "previous_response_id")
    for ask in (there.responses.retrieve, there.responses.delete, there.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            await ask(made.id)


async def test_a_throttled_resource_does_not_say_what_it_lacks(two, pair):
    two[1].faults.add("responses=429:7*1")
    with pytest.raises(openai.RateLimitError) as refused:
        await pair[1].responses.create(model="chat", input="go on", previous_response_id="resp_unknown")
    assert refused.value.response.headers["retry-after"] == "7"


async def test_a_background_response_is_polled(pair):
    here = pair[0]
    made = await here.responses.create(model="chat", input="hello", background=True)
    assert (made.status, made.output, made.usage) == ("queued", [], None)
    seen = [await here.responses.retrieve(made.id) for _ in range(3)]
    assert [one.status for one in seen] == ["in_progress", "completed", "completed"]
    assert len(seen[1].output_text.split()) == 16


async def test_a_background_response_can_be_cancelled_and_a_synchronous_one_not(pair):
    here = pair[0]
    made = await here.responses.create(model="chat", input="hello", background=True)
    assert (await here.responses.cancel(made.id)).status == "cancelled"
    assert (await here.responses.retrieve(made.id)).status == "cancelled"
    other = await here.responses.create(model="chat", input="hello")
    with pytest.raises(openai.BadRequestError):
        await here.responses.cancel(other.id)


async def test_a_background_stream_can_be_taken_up_again(pair):
    here = pair[0]
    stream = await here.responses.create(model="chat", input="hello", background=True, stream=True)
    events = [event async for event in stream]
    again = await here.responses.retrieve(events[0].response.id, stream=True, starting_after=4)
    assert [event.sequence_number async for event in again] == list(range(5, len(events)))


async def test_a_background_response_must_be_stored(pair):
    with pytest.raises(openai.BadRequestError):
        await pair[0].responses.create(model="chat", input="hello", background=True, store=False)


async def test_encrypted_reasoning_opens_only_where_it_was_sealed(two, pair):
    here, there = pair
    made = await here.responses.create(model="chat", input="hello", **SEALED)
    thought = made.output[0]
    assert thought.type == "reasoning"
    assert thought.encrypted_content.startswith("gAAAA")
    turns = [{"role": "user", "content": "hello"}, *[item.to_dict() for item in made.output]]
    turns.append({"role": "user", "content": "go on"})
    assert (await here.responses.create(model="chat", input=turns, **SEALED)).output_text
    with pytest.raises(openai.BadRequestError) as wrong:
        await there.responses.create(model="chat", input=turns, **SEALED)
    assert wrong.value.code == "invalid_encrypted_content"


async def test_older_versions_say_less_of_encrypted_content(two):
    async with clients(two, "azure", "2025-03-01-preview") as (_, there):
        with pytest.raises(openai.BadRequestError) as wrong:
            await there.responses.create(
                model="chat", input=[{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAxyz"}]
            )
    assert wrong.value.code is None
    assert wrong.value.body["message"] == "The encrypted content gAAA...Axyz could not be verified."


@pytest.mark.parametrize(
    "item", [{"type": "item_reference", "id": "rs_unknown"}, {"type": "reasoning", "id": "rs_unknown", "summary": []}]
)
async def test_an_item_that_was_not_stored_is_not_found(pair, item):
    with pytest.raises(openai.NotFoundError) as wrong:
        await pair[0].responses.create(model="chat", input=[item, {"role": "user", "content": "go on"}])
    assert "Items are not persisted" in wrong.value.body["message"]


async def test_a_stored_item_can_be_referred_to(pair):
    here, there = pair
    made = await here.responses.create(model="chat", input="hello")
    turns = [{"type": "item_reference", "id": made.output[0].id}, {"role": "user", "content": "go on"}]
    assert (await here.responses.create(model="chat", input=turns)).usage.input_tokens > 16
    with pytest.raises(openai.NotFoundError):
        await there.responses.create(model="chat", input=turns)


async def test_a_conversation_collects_what_was_said(pair):
    here, there = pair
    talk = await here.conversations.create(
        metadata={"topic": "one"}, items=[{"type": "message", "role": "user", "content": "first"}]
    )
    for turn in range(3):
        made = await here.responses.create(model="chat", input=f"turn {turn}", conversation=talk.id)
        assert made.conversation.id == talk.id
    items = [item async for item in here.conversations.items.list(talk.id, limit=3, order="asc")]
    assert [item.role for item in items] == ["user"] + ["user", "assistant"] * 3
    with pytest.raises(openai.NotFoundError):
        await there.responses.create(model="chat", input="hello", conversation=talk.id)
    with pytest.raises(openai.NotFoundError):
        await there.conversations.retrieve(talk.id)


async def test_a_conversations_life(pair):
    here = pair[0]
    talk = await here.conversations.create()
    added = await here.conversations.items.create(talk.id, items=[{"role": "user", "content": "hello"}])
    item = added.data[0]
    assert (await here.conversations.items.retrieve(item.id, conversation_id=talk.id)).content[0].text == "hello"
    assert (await here.conversations.update(talk.id, metadata={"a": "b"})).metadata == {"a": "b"}
    await here.conversations.items.delete(item.id, conversation_id=talk.id)
    assert not [item async for item in here.conversations.items.list(talk.id)]
    assert (await here.conversations.delete(talk.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await here.conversations.retrieve(talk.id)


async def test_a_conversation_excludes_a_previous_response(pair):
    talk = await pair[0].conversations.create()
    with pytest.raises(openai.BadRequestError):
        await pair[0].responses.create(model="chat", input="x", conversation=talk.id, previous_response_id="resp_1")


async def test_two_resources_of_one_name_and_seed_still_give_different_ids(start):
    twins = [await start(name="openai1", seed=1) for _ in range(2)]
    async with clients(twins, "v1") as made:
        ids = {(await client.responses.create(model="chat", input="hello")).id for client in made}
    assert len(ids) == 2
