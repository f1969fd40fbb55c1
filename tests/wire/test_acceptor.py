"""Several workers on one listening socket: one connection at a time, and even shares."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from lb.wire import acceptor
from lb.wire.acceptor import Acceptor


class Open(asyncio.Protocol):
    def __init__(self, worker: "Worker") -> None:
        self.worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.worker.open.append(transport)
        self.worker.changed.set()


class Worker:
    """One of those that accept."""

    def __init__(self, sock: socket.socket, ahead: Callable[[int], bool]) -> None:
        self.open: list[asyncio.BaseTransport] = []
        self.changed = asyncio.Event()
        self.acceptor = Acceptor(sock, lambda: Open(self), lambda: len(self.open), ahead)


class Place:
    """A socket, the workers that listen on it, and clients."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.address = self.sock.getsockname()
        self.workers: list[Worker] = []
        self.clients: list[socket.socket] = []

    def worker(self, ahead: Callable[[int], bool], sock: socket.socket | None = None) -> Worker:
        worker = Worker(sock or self.sock.dup(), ahead)
        self.workers.append(worker)
        return worker

    def connect(self, count: int) -> None:
        self.clients += [socket.create_connection(self.address) for _ in range(count)]

    async def all_served(self) -> list[int]:
        async with asyncio.timeout(30):
            while sum(counts := [len(worker.open) for worker in self.workers]) < len(self.clients):
                for worker in self.workers:
                    worker.changed.clear()
                waits = [asyncio.ensure_future(worker.changed.wait()) for worker in self.workers]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
        return counts


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    for worker in place.workers:
        worker.acceptor.close()
        for transport in worker.open:
            transport.close()
    for client in place.clients:
        client.close()
    place.sock.close()


async def test_a_burst_is_not_taken_by_whoever_wakes_first(place: Place) -> None:
    place.connect(20)
    for _ in range(2):
        place.worker(lambda count: count > min(len(worker.open) for worker in place.workers))
    assert min(await place.all_served()) >= 6, "who is ahead waits 2 ms, which a busy machine may take for nothing"


async def test_who_is_ahead_leaves_new_connections_to_the_others(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "YIELD_SECONDS", 60)
    place.worker(lambda count: True)
    place.worker(lambda count: False)
    place.connect(10)
    assert await place.all_served() == [0, 10]


async def test_when_nobody_else_comes_who_is_ahead_takes_them(place: Place) -> None:
    place.worker(lambda count: True)
    place.connect(10)
    assert await place.all_served() == [10]


class Exhausted(socket.socket):
    """The process has no file descriptor left, for a while."""

    refused = 0

    def accept(self) -> tuple[socket.socket, object]:
        if self.refused < 2:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_without_file_descriptors_it_tries_now_and_then_and_does_not_spin(place: Place) -> None:
    sock = Exhausted(fileno=place.sock.dup().detach())
    sock.setblocking(False)
    place.worker(lambda count: False, sock)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    place.connect(1)
    assert await place.all_served() == [1]
    assert sock.refused == 2
    assert loop.time() - begun > 0.4


async def test_a_closed_one_takes_nothing(place: Place) -> None:
    closed = place.worker(lambda count: True)
    place.connect(1)
    await asyncio.sleep(0)
    closed.acceptor.close()
    assert closed.acceptor.sockets == ()
    place.worker(lambda count: False)
    assert await place.all_served() == [0, 1]
