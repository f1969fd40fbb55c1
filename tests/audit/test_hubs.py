"""Event Hubs: our part with a fake producer that keeps the SDK's promises, and the real client where nobody answers."""

import asyncio

import pytest
from azure.eventhub import EventData
from azure.eventhub.exceptions import ConnectError, EventHubError

from lb.audit.sinks.hubs import EventHub, event_hub

KEY = "Endpoint=sb://127.0.0.1/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;EntityPath=audit"


class FakeBatch:
    """Takes so many bytes, and refuses with ValueError as the SDK's does."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bodies: list[bytes] = []

    def add(self, event: EventData) -> None:
        body = b"".join(event.body)
        if sum(map(len, self.bodies)) + len(body) > self.most:
            raise ValueError("EventDataBatch has reached its size limit")
        assert event.content_type == "application/json"
        self.bodies.append(body)

    def __len__(self) -> int:
        return len(self.bodies)


class FakeProducer:
    def __init__(self, most: int = 20) -> None:
        self.most = most
        self.sent: list[list[bytes]] = []
        self.broken = False
        self.closed = False

    async def create_batch(self) -> FakeBatch:
        return FakeBatch(self.most)

    async def send_batch(self, batch: FakeBatch) -> None:
        if self.broken:
            raise EventHubError("gone")
        self.sent.append(batch.bodies)

    async def close(self) -> None:
        self.closed = True


async def test_lines_become_events_in_as_few_batches_as_fit() -> None:
    producer = FakeProducer()
    sink = EventHub(producer)  # type: ignore[arg-type]
    assert await sink.write([b"12345678\n", b"abcdefgh\n", b"ABCDEFGH\n"]) == 0
    assert producer.sent == [[b"12345678", b"abcdefgh"], [b"ABCDEFGH"]]
    await sink.close()
    assert producer.closed


async def test_an_event_that_no_batch_can_take_is_left_out_and_told() -> None:
    producer = FakeProducer()
    assert await EventHub(producer).write([b"one\n", b"x" * 30 + b"\n", b"two\n"]) == 1  # type: ignore[arg-type]
    assert [body for batch in producer.sent for body in batch] == [b"one", b"two"]


async def test_what_the_hub_refuses_is_an_error_that_is_told() -> None:
    producer = FakeProducer()
    producer.broken = True
    with pytest.raises(EventHubError):
        await EventHub(producer).write([b"one\n"])  # type: ignore[arg-type]


async def test_the_real_client_says_that_nobody_is_there() -> None:
    sink = event_hub("127.0.0.1:9/audit", KEY, None, retries=0)
    with pytest.raises(ConnectError):
        async with asyncio.timeout(60):
            await sink.write([b"one\n"])
    await sink.close()
