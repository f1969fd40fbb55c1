"""Azure Blob Storage: append blobs, a new one every hour and when one is full.

An append whose answer got lost may have been done. So each one says where it expects to be put (`appendpos`), and when
the blob has grown by just that, it was ours.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.core.utils import parse_connection_string
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobClient, ContainerClient

SECONDS = 20
"""For one answer."""
BLOCKS = 50_000
"""Of one append blob (Azure Storage, "Scalability and performance targets for Blob storage")."""


class AppendBlobs:
    """Blobs `YYYY/MM/DD/HH/<name>-<number>.jsonl` in a container that is there already."""

    def __init__(self, container: ContainerClient, credential: Any, name: str, wall: Callable[[], float]) -> None:
        self._container = container
        self._credential = credential
        self._name = name
        self._wall = wall
        self._blob: BlobClient | None = None
        self._hour = ""
        self._number = 0
        self._size = 0
        self._blocks = 0

    async def write(self, lines: list[bytes]) -> int:
        """Append them as one block. Raises AzureError."""
        batch = b"".join(lines)
        hour = datetime.fromtimestamp(self._wall(), UTC).strftime("%Y/%m/%d/%H")
        if self._blob is None or hour != self._hour or self._blocks >= BLOCKS:
            await self._begin(hour)
        assert self._blob is not None  # noqa: S101 - it was just begun
        try:
            await self._blob.append_block(batch, len(batch), appendpos_condition=self._size)
        except HttpResponseError as refused:
            if refused.status_code != 412 or not await self._was_done(self._blob, len(batch)):
                if refused.status_code in (404, 409, 412):  # gone, full, or not as long as it should be
                    self._blob = None
                raise
        self._size += len(batch)
        self._blocks += 1
        return 0

    async def close(self) -> None:
        await self._container.close()
        if hasattr(self._credential, "close"):
            await self._credential.close()

    async def _begin(self, hour: str) -> None:
        self._number += 1
        blob = self._container.get_blob_client(f"{hour}/{self._name}-{self._number}.jsonl")
        settings = ContentSettings(content_type="application/x-ndjson")
        try:
            await blob.create_append_blob(content_settings=settings, if_none_match="*")
        except ResourceExistsError:
            if await self._length(blob):
                raise  # somebody else's; else it is ours, and the answer to an earlier try got lost
        self._blob, self._hour, self._size, self._blocks = blob, hour, 0, 0

    async def _was_done(self, blob: BlobClient, length: int) -> bool:
        return await self._length(blob) == self._size + length

    async def _length(self, blob: BlobClient) -> int:
        found = await blob.get_blob_properties()
        return int(found.size)


def append_blobs(
    url: str, connection: str | None, client_id: str | None, name: str, wall: Callable[[], float], *, retries: int = 1
) -> AppendBlobs:
    """`url` is the container's. Without a connection string the process's own identity is shown."""
    credential = _credential(connection, client_id)
    limits: dict[str, Any] = {"connection_timeout": SECONDS, "read_timeout": SECONDS, "retry_total": retries}
    container = ContainerClient.from_container_url(url, credential=credential, **limits)
    return AppendBlobs(container, credential, name, wall)


def _credential(connection: str | None, client_id: str | None) -> Any:
    if connection is None:
        from azure.identity.aio import DefaultAzureCredential

        return DefaultAzureCredential(managed_identity_client_id=client_id)
    parts = parse_connection_string(connection)
    if "sharedaccesssignature" in parts:
        return AzureSasCredential(parts["sharedaccesssignature"])
    return {"account_name": parts["accountname"], "account_key": parts["accountkey"]}
