"""Azure Event Hubs: each record is an event."""

from typing import Any

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient

SECONDS = 20


class EventHub:
    """One hub, through one producer of the SDK."""

    def __init__(self, producer: EventHubProducerClient, credential: Any = None) -> None:
        self._producer = producer
        self._credential = credential

    async def write(self, lines: list[bytes]) -> int:
        """Send them, in as few batches as the hub's limits allow. Raises EventHubError.

        When a later batch fails all are sent again: Event Hubs delivers at least once.
        """
        batch = await self._producer.create_batch()
        left_out = 0
        for line in lines:
            event = EventData(line.rstrip(b"\n"))
            event.content_type = "application/json"
            try:
                batch.add(event)
                continue
            except ValueError:  # it is full, or the event is larger than any batch may be
                if len(batch):
                    await self._producer.send_batch(batch)
            batch = await self._producer.create_batch()
            try:
                batch.add(event)
            except ValueError:
                left_out += 1
        if len(batch):
            await self._producer.send_batch(batch)
        return left_out

    async def close(self) -> None:
        await self._producer.close()
        if self._credential is not None:
            await self._credential.close()


def event_hub(address: str, connection: str | None, client_id: str | None, *, retries: int = 1) -> EventHub:
    """`address` is `namespace.servicebus.windows.net/hub`."""
    namespace, _, hub = address.partition("/")
    limits: dict[str, Any] = {"retry_total": retries, "auth_timeout": SECONDS, "socket_timeout": SECONDS}
    if connection is not None:
        return EventHub(EventHubProducerClient.from_connection_string(connection, eventhub_name=hub, **limits))
    from azure.identity.aio import DefaultAzureCredential

    credential = DefaultAzureCredential(managed_identity_client_id=client_id)
    return EventHub(EventHubProducerClient(namespace, hub, credential, **limits), credential)
