"""Uploads, fine-tuning jobs, evals, videos and stored completions belong to one resource."""

import openai
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


async def refused(*asks) -> None:
    """None of these finds what it names."""
    for ask in asks:
        with pytest.raises(openai.APIStatusError) as wrong:
            await ask()
        assert wrong.value.status_code in (400, 404)


async def test_an_upload_in_parts_becomes_a_file(pair):
    here, there = pair
    content = bytes(range(256)) * 10
    made = await here.uploads.upload_file_chunked(
        file=content, filename="a.bin", bytes=len(content), mime_type="text/plain", purpose="batch", part_size=1000
    )
    assert made.status == "completed"
    assert (await here.files.content(made.file.id)).content == content
    other = await here.uploads.create(bytes=5, filename="b", mime_type="text/plain", purpose="batch")
    await refused(
        lambda: there.uploads.parts.create(other.id, data=b"hello"),
        lambda: there.uploads.complete(other.id, part_ids=[]),
        lambda: here.uploads.parts.create(other.id, data=b"more than announced"),
        lambda: here.uploads.complete(other.id, part_ids=["part_unknown"]),
        lambda: here.uploads.complete(other.id, part_ids=[]),
        lambda: here.uploads.create(bytes=0, filename="b", mime_type="text/plain", purpose="batch"),
        lambda: here.uploads.create(bytes=1, filename="b", mime_type="text/plain", purpose="other"),
    )
    assert (await here.uploads.cancel(other.id)).status == "cancelled"
    await refused(lambda: here.uploads.cancel(other.id))


async def test_a_fine_tuning_job_comes_to_a_model(pair):
    here, there = pair
    source = (await here.files.create(file=("t.jsonl", b"{}"), purpose="fine-tune")).id
    job = await here.fine_tuning.jobs.create(model="gpt", training_file=source)
    seen = [job.status] + [(await here.fine_tuning.jobs.retrieve(job.id)).status for _ in range(3)]
    assert seen == ["validating_files", "running", "succeeded", "succeeded"]
    done = await here.fine_tuning.jobs.retrieve(job.id)
    assert (await here.files.content(done.result_files[0])).text.startswith("step")
    assert len([event async for event in here.fine_tuning.jobs.list_events(job.id, limit=1)]) == 2
    assert [one.step_number async for one in here.fine_tuning.jobs.checkpoints.list(job.id)] == [1]
    assert [one.id async for one in here.fine_tuning.jobs.list()] == [job.id]
    await refused(
        lambda: there.fine_tuning.jobs.retrieve(job.id),
        lambda: there.fine_tuning.jobs.cancel(job.id),
        lambda: there.fine_tuning.jobs.create(model="gpt", training_file=source),
        lambda: here.fine_tuning.jobs.cancel(job.id),
    )


async def test_a_fine_tuning_job_is_paused_and_cancelled(pair):
    here = pair[0]
    source = (await here.files.create(file=("t.jsonl", b"{}"), purpose="fine-tune")).id
    job = await here.fine_tuning.jobs.create(model="gpt", training_file=source)
    assert (await here.fine_tuning.jobs.resume(job.id)).status == "running"
    assert (await here.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
    assert (await here.fine_tuning.jobs.retrieve(job.id)).status == "cancelled"
    assert not [one async for one in here.fine_tuning.jobs.checkpoints.list(job.id)]


async def test_an_eval_and_its_run(pair):
    here, there = pair
    source = (await here.files.create(file=("e.jsonl", b'{"item":{}}\n{"item":{}}\n'), purpose="evals")).id
    config = {"type": "custom", "item_schema": {"type": "object"}}
    made = await here.evals.create(name="e", data_source_config=config, testing_criteria=[])
    asked = {"name": "r", "data_source": {"type": "jsonl", "source": {"type": "file_id", "id": source}}}
    run = await here.evals.runs.create(made.id, **asked)
    seen = [(await here.evals.runs.retrieve(run.id, eval_id=made.id)) for _ in range(2)]
    assert [one.status for one in seen] == ["in_progress", "completed"]
    assert seen[1].result_counts.passed == 2
    assert [one.id async for one in here.evals.list()] == [made.id]
    assert [one.id async for one in here.evals.runs.list(made.id)] == [run.id]
    other = await there.evals.create(name="o", data_source_config=config, testing_criteria=[])
    await refused(
        lambda: there.evals.retrieve(made.id),
        lambda: there.evals.runs.retrieve(run.id, eval_id=made.id),
        lambda: there.evals.runs.create(other.id, **asked),
        lambda: there.evals.delete(made.id),
    )
    assert (await here.evals.update(made.id, name="f")).name == "f"
    second = await here.evals.runs.create(made.id, **asked)
    assert (await here.evals.runs.cancel(second.id, eval_id=made.id)).status == "canceled"
    assert (await here.evals.runs.delete(second.id, eval_id=made.id)).deleted
    assert (await here.evals.delete(made.id)).deleted


async def test_a_video_is_polled_and_downloaded(pair):
    here, there = pair
    made = await here.videos.create(model="sora-2", prompt="a lighthouse", seconds="8")
    assert (made.status, made.seconds) == ("queued", "8")
    await refused(lambda: here.videos.download_content(made.id))
    seen = [(await here.videos.retrieve(made.id)).status for _ in range(2)]
    assert seen == ["in_progress", "completed"]
    content = await here.videos.download_content(made.id)
    assert content.response.headers["content-type"] == "video/mp4"
    assert b"ftyp" in content.content
    assert (await here.videos.remix(made.id, prompt="at night")).remixed_from_video_id == made.id
    assert len([one async for one in here.videos.list(limit=1)]) == 2
    await refused(
        lambda: there.videos.retrieve(made.id),
        lambda: there.videos.download_content(made.id),
        lambda: there.videos.remix(made.id, prompt="x"),
    )
    assert (await here.videos.delete(made.id)).deleted


async def test_a_stored_completion(two, http):
    here, there = (f"{sim.url}/openai/v1/chat/completions" for sim in two)
    said = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "metadata": {"a": "b"}, "store": True}
    async with http.post(here, json=said) as reply:
        made = await reply.json()
    async with http.get(f"{here}/{made['id']}") as found, http.get(f"{there}/{made['id']}") as lost:
        assert (await found.json())["choices"] == made["choices"]
        assert lost.status == 404
    async with openai.AsyncOpenAI(base_url=f"{two[0].url}/openai/v1", api_key="any") as client:
        assert [one.id async for one in client.chat.completions.list()] == [made["id"]]
        said = [one.content async for one in client.chat.completions.messages.list(made["id"])]
        assert said == ["hello"]
        assert (await client.chat.completions.update(made["id"], metadata={"c": "d"})).id == made["id"]
        assert (await client.chat.completions.delete(made["id"])).deleted
