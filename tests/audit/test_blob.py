"""Append blobs through the real SDK: batches arrive once, in order, also when answers are lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from azure.core.exceptions import AzureError
from blob_service import BlobService, running

from lb.audit.sinks.blob import AppendBlobs, append_blobs

KEY = "DefaultEndpointsProtocol=http;AccountName=account;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1/account"
NOON = 1795262400.0


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def writing(clock: Clock | None = None, connection: str = KEY) -> AsyncIterator[tuple[BlobService, AppendBlobs]]:
    async with running() as service:
        sink = append_blobs(service.url, connection, None, "pod-7", clock or Clock(), retries=0)
        try:
            yield service, sink
        finally:
            await sink.close()


async def test_batches_are_appended_in_order() -> None:
    async with writing() as (service, sink):
        assert await sink.write([b"one\n", b"two\n"]) == 0
        assert await sink.write([b"three\n"]) == 0
    assert service.blobs == {"2026/11/21/12/pod-7-1.jsonl": b"one\ntwo\nthree\n"}


async def test_each_hour_has_a_blob_of_its_own() -> None:
    clock = Clock()
    async with writing(clock) as (service, sink):
        await sink.write([b"one\n"])
        clock.now += 3600
        await sink.write([b"two\n"])
    assert sorted(service.blobs) == ["2026/11/21/12/pod-7-1.jsonl", "2026/11/21/13/pod-7-2.jsonl"]


async def test_a_batch_whose_answer_was_lost_is_not_written_twice() -> None:
    async with writing() as (service, sink):
        await sink.write([b"one\n"])
        service.lose = 1
        with pytest.raises(AzureError):
            await sink.write([b"two\n"])
        await sink.write([b"two\n"])
        await sink.write([b"three\n"])
    assert service.blobs == {"2026/11/21/12/pod-7-1.jsonl": b"one\ntwo\nthree\n"}


async def test_a_batch_that_was_refused_is_written_when_it_comes_again() -> None:
    async with writing() as (service, sink):
        service.refuse = 1
        with pytest.raises(AzureError):
            await sink.write([b"one\n"])
        await sink.write([b"one\n"])
    assert list(service.blobs.values()) == [b"one\n"]


async def test_a_blob_that_is_full_or_gone_is_followed_by_another() -> None:
    async with writing() as (service, sink):
        await sink.write([b"one\n"])
        service.full = True
        with pytest.raises(AzureError):
            await sink.write([b"two\n"])
        await sink.write([b"two\n"])
        del service.blobs["2026/11/21/12/pod-7-2.jsonl"]
        with pytest.raises(AzureError):
            await sink.write([b"three\n"])
        await sink.write([b"three\n"])
    assert list(service.blobs.values()) == [b"one\n", b"three\n"]


async def test_a_blob_that_somebody_else_wrote_to_is_left_alone() -> None:
    async with writing() as (service, sink):
        await sink.write([b"one\n"])
        service.blobs["2026/11/21/12/pod-7-1.jsonl"] += b"not ours\n"
        with pytest.raises(AzureError):
            await sink.write([b"two\n"])
        await sink.write([b"two\n"])
    assert service.blobs["2026/11/21/12/pod-7-2.jsonl"] == b"two\n"


async def test_a_shared_access_signature_will_do() -> None:
    async with writing(connection="SharedAccessSignature=sv=2021&sig=abc;BlobEndpoint=http://127.0.0.1") as (
        service,
        sink,
    ):
        await sink.write([b"one\n"])
    assert list(service.blobs.values()) == [b"one\n"]


async def test_nobody_there_is_an_error_that_is_told() -> None:
    sink = append_blobs("http://127.0.0.1:9/account/audit", KEY, None, "pod-7", Clock(), retries=0)
    with pytest.raises(AzureError):
        await sink.write([b"one\n"])
    await sink.close()
