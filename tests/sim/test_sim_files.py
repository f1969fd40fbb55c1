"""Files and batches belong to the resource that made them."""

import io
import json

import openai
import pytest

PURPOSES = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


def lines(count: int, endpoint: str = "/v1/chat/completions", **body: object) -> io.BytesIO:
    """An input file for a batch."""
    said = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], **body}
    asked = [{"custom_id": f"line-{i}", "method": "POST", "url": endpoint, "body": said} for i in range(count)]
    made = io.BytesIO("\n".join(map(json.dumps, asked)).encode())
    made.name = "asked.jsonl"
    return made


def form(purpose: str | None, content: bytes | None) -> bytes:
    """A form with the boundary `b`."""
    parts = []
    if purpose is not None:
        parts.append(f'Content-Disposition: form-data; name="purpose"\r\n\r\n{purpose}'.encode())
    if content is not None:
        parts.append(b'Content-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + content)
    return b"".join(b"--b\r\n%b\r\n" % part for part in parts) + b"--b--\r\n"


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_a_files_life(pair, purpose):
    here, there = pair
    content = bytes(range(256)) * 40 + b"\r\n--not-a-boundary\r\n"
    made = await here.files.create(file=("ünïcode.bin", content), purpose=purpose)
    assert made.id.startswith("assistant-" if purpose == "assistants" else "file-")
    assert (made.bytes, made.filename, made.purpose) == (len(content), "ünïcode.bin", purpose)
    assert (await here.files.content(made.id)).content == content
    assert await here.files.retrieve(made.id) == made
    for ask in (there.files.retrieve, there.files.content, there.files.delete):
        with pytest.raises(openai.NotFoundError) as wrong:
            await ask(made.id)
        assert wrong.value.body["message"] == f"No such File object: {made.id}"
    assert (await here.files.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await here.files.retrieve(made.id)


async def test_files_are_listed_in_pages_and_by_purpose(pair):
    here, there = pair
    made = [(await here.files.create(file=(f"{i}", b"x"), purpose=PURPOSES[i % 2])).id for i in range(7)]
    assert [file.id async for file in here.files.list(limit=3)] == made[::-1]
    assert [file.id async for file in here.files.list(limit=3, order="asc")] == made
    assert [file.id async for file in here.files.list(purpose="batch")] == made[1::2][::-1]
    assert not [file async for file in there.files.list()]
    with pytest.raises(openai.NotFoundError):
        await there.files.list(after=made[2])


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (form("other", b"x"), "multipart/form-data; boundary=b"),
        (form(None, b"x"), "multipart/form-data; boundary=b"),
        (form("batch", None), "multipart/form-data; boundary=b"),
        (b"no form at all", "multipart/form-data"),
        (b"--other\r\n\r\n\r\n--other--", "multipart/form-data; boundary=b"),
        (b'{"purpose": "batch", "file": "x"}', "application/json"),
        (b"", "application/json"),
    ],
)
async def test_a_wrong_upload_is_refused(start, http, data, content_type):
    sim = await start()
    headers = {"Content-Type": content_type}
    async with http.post(f"{sim.url}/openai/v1/files", data=data, headers=headers) as reply:
        assert reply.status == 400


@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/chat/completions"])
async def test_a_batch_makes_an_output_file(pair, endpoint):
    here = pair[0]
    source = await here.files.create(file=lines(5, endpoint), purpose="batch")
    job = await here.batches.create(input_file_id=source.id, endpoint=endpoint, completion_window="24h")
    seen = [job.status]
    while job.status != "completed":
        job = await here.batches.retrieve(job.id)
        seen.append(job.status)
    assert seen == ["validating", "in_progress", "finalizing", "completed"]
    assert (job.request_counts.total, job.request_counts.completed, job.error_file_id) == (5, 5, None)
    answers = [json.loads(line) for line in (await here.files.content(job.output_file_id)).text.splitlines()]
    assert [one["custom_id"] for one in answers] == [f"line-{i}" for i in range(5)]
    assert all(one["response"]["body"]["choices"][0]["message"]["content"] for one in answers)


@pytest.mark.parametrize(
    ("endpoint", "body", "shows"),
    [
        ("/v1/responses", {"input": "hello"}, "output"),
        ("/v1/embeddings", {"input": "hello"}, "data"),
        ("/v1/completions", {"prompt": "hello"}, "choices"),
    ],
)
async def test_a_batch_of_another_endpoint(pair, endpoint, body, shows):
    here = pair[0]
    source = await here.files.create(file=lines(1, endpoint, **body), purpose="batch")
    job = await here.batches.create(input_file_id=source.id, endpoint=endpoint, completion_window="24h")
    for _ in range(3):
        job = await here.batches.retrieve(job.id)
    answer = json.loads((await here.files.content(job.output_file_id)).text)
    assert answer["response"]["body"][shows]


async def test_lines_that_go_wrong_are_in_a_file_of_their_own(pair):
    here = pair[0]
    bad = lines(1).getvalue() + b"\nnot json\n" + lines(1, "/v1/other").getvalue() + b"\n[]\n"
    source = await here.files.create(file=("bad.jsonl", bad), purpose="batch")
    job = await here.batches.create(input_file_id=source.id, endpoint="/v1/chat/completions", completion_window="24h")
    for _ in range(3):
        job = await here.batches.retrieve(job.id)
    assert (job.request_counts.completed, job.request_counts.failed) == (1, 3)
    assert len((await here.files.content(job.error_file_id)).text.splitlines()) == 3


async def test_a_batch_needs_its_file_on_the_same_resource(pair):
    here, there = pair
    source = await here.files.create(file=lines(1), purpose="batch")
    asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": source.id}
    with pytest.raises(openai.BadRequestError) as wrong:
        await there.batches.create(**asked)
    assert wrong.value.body["message"] == (
        f"Files [{source.id}] were not found due to ownership verification failure. Ensure the same AOAI resource is "
        "used to create and access files."
    )
    job = await here.batches.create(**asked)
    for ask in (there.batches.retrieve, there.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            await ask(job.id)
    assert [one.id async for one in here.batches.list()] == [job.id]
    assert not [one async for one in there.batches.list()]


async def test_a_batch_is_cancelled(pair):
    here = pair[0]
    source = await here.files.create(file=lines(1), purpose="batch")
    job = await here.batches.create(input_file_id=source.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert (await here.batches.cancel(job.id)).status == "cancelling"
    assert (await here.batches.retrieve(job.id)).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        await here.batches.cancel(job.id)


async def test_a_throttled_resource_refuses_objects_too(start, http, clock):
    sim = await start(object_rpm=60)
    url = f"{sim.url}/openai/v1/files"
    async with http.get(url) as first, http.get(url) as second:
        assert (first.status, second.status) == (200, 429)
        assert second.headers["Retry-After"] == "1"
    clock.now += 1
    async with http.get(url) as third:
        assert third.status == 200


async def test_a_fault_can_be_meant_for_objects(start, http):
    sim = await start(faults=("files.content=503:4", "batches=429:9"))
    for path, status in (("files/file-1/content", 503), ("batches", 429), ("files", 200)):
        async with http.get(f"{sim.url}/openai/v1/{path}") as reply:
            assert reply.status == status
    assert sim.counts.operations == {"files.content": 1, "batches": 1, "files": 1}


async def test_what_is_kept_is_bounded_in_bytes_and_the_oldest_go_first(start, http):
    sim = await start(object_bytes=1_000_000)
    ids = []
    for _ in range(15):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        body = form("batch", b"x" * 100_000)
        async with http.post(f"{sim.url}/openai/v1/files", data=body, headers=headers) as reply:
            ids.append((await reply.json())["id"])
    async with http.get(f"{sim.url}/openai/v1/files?order=asc") as reply:
        listed = [file["id"] for file in (await reply.json())["data"]]
    assert listed == ids[-9:]
    assert sim.endpoint.resource.room.bytes <= 1_000_000
