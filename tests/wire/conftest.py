import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from lb.balancing.backend import Backend
from lb.wire.transport import SocketTransport


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The rim runs on uvloop, as `lb serve` does; modules that say `BOTH_LOOPS = True` run on asyncio's own, too."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if getattr(getattr(item, "module", None), "BOTH_LOOPS", False):
        loops["asyncio"] = asyncio.new_event_loop
    return loops


class Key:
    """A credential that is always there."""

    def ready(self, backend: Backend) -> bytes | None:
        return b"api-key: k\r\n"

    async def fetch(self, backend: Backend) -> bytes:
        raise AssertionError("nobody waits for a key")


@pytest.fixture
async def make_transport() -> AsyncIterator[Callable[..., SocketTransport]]:
    """Makes transports with the given limits; all are closed at the end."""
    made: list[SocketTransport] = []

    def make(credential: object = None, **limits: object) -> SocketTransport:
        clock = asyncio.get_running_loop().time
        transport = SocketTransport(credential or Key(), clock, **limits)
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
async def transport(make_transport: Callable[..., SocketTransport]) -> SocketTransport:
    return make_transport()
