"""What is kept of large bodies lies on the disk without a name, within bounds, and is gone with the request."""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lb.exchange import BackendFailed, Blame, BodyStream, Client, Request
from lb.wire import spool
from tests.wire.front_door import Door, RawClient, open_door, soon, until, whole

KIB = 1024
BODY = bytes(range(256)) * 4 * 200  # 200 KiB


WAV = b"Content-Type: audio/wav"
FORM = b"Content-Type: multipart/form-data; boundary=XyZ"


def sized(length: int, *fields: bytes) -> bytes:
    lines = [
        b"POST /openai/v1/audio/transcriptions HTTP/1.1",
        b"Host: lb",
        b"Content-Length: %d" % length,
        *(fields or [WAV]),
    ]
    return b"\r\n".join([*lines, b"", b""])


CHUNKED = (
    b"POST /openai/v1/responses HTTP/1.1\r\nHost: lb\r\nContent-Type: audio/wav\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    limits = {"replay_max": 100 * KIB, "memory_max": 10 * KIB, "kept_max": KIB * KIB, "disk_max": KIB * KIB}
    async with open_door(**limits, directory=str(tmp_path)) as door:  # type: ignore[arg-type]
        yield door
        await until(lambda: door.server.spooled_bytes == 0)
        assert not os.listdir(tmp_path)


def nameless() -> list[Path]:
    """The files of ours that are open and have no name."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if stat.S_ISREG(os.stat(entry).st_mode) and os.stat(entry).st_nlink == 0:
                found.append(entry)
        except FileNotFoundError:
            continue
    return found


class Reading:
    """Serves by reading the body so many times."""

    def __init__(self, door: Door, times: int = 1) -> None:
        self.bodies: list[BodyStream] = []
        self.read: list[bytes] = []
        self.times = times
        self.go = asyncio.Event()
        self.go.set()
        door.gateway.serve = self.serve

    async def serve(self, request: Request, client: Client) -> None:
        assert not isinstance(request.body, bytes)
        self.bodies.append(request.body)
        await self.go.wait()
        for _ in range(self.times):
            self.read.append(await whole(request))
        client.answer(200, (), b"%d" % len(self.read[-1]))


async def test_a_body_within_the_limit_is_read_as_often_as_one_likes(door: Door) -> None:
    reading = Reading(door, times=3)
    body = BODY[: 90 * KIB]
    answer = await door.ask(sized(len(body)) + body)
    assert answer.body == b"%d" % len(body)
    assert reading.read == [body] * 3
    (kept,) = reading.bodies
    assert (kept.whole, kept.started, kept.length) == (True, False, len(body))


async def test_its_file_has_no_name_and_is_for_us_alone(door: Door) -> None:
    reading = Reading(door)
    reading.go.clear()
    before = nameless()
    client = await door.connect()
    await client.send(sized(90 * KIB) + BODY[: 90 * KIB])
    await soon(door.gateway.arrived)
    (file,) = [entry for entry in nameless() if entry not in before]
    state = file.stat()
    assert (stat.S_IMODE(state.st_mode), state.st_nlink) == (0o600, 0)
    prefix = len(reading.bodies[0].prefix)
    assert door.server.spooled_bytes == state.st_size == 90 * KIB - prefix
    assert door.server.kept_bytes == prefix, "the rest has left memory"
    reading.go.set()
    assert (await client.answer()).status == 200
    await until(lambda: nameless() == before)


async def test_where_files_need_a_name_it_is_taken_away_at_once(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, real = [], os.open

    def without(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        file = real(path, flags, mode)
        opened.append(file)
        return file

    monkeypatch.setattr(os, "open", without)
    reading = Reading(door, times=2)
    body = BODY[: 90 * KIB]
    assert (await door.ask(sized(len(body)) + body)).status == 200
    assert reading.read == [body] * 2
    assert opened


async def test_what_is_beyond_the_limit_passes_once_and_what_is_kept_may_go_out_before_that(door: Door) -> None:
    kept: list[int] = []

    async def serve(request: Request, client: Client) -> None:
        assert not isinstance(request.body, bytes)
        for patience in (90 * KIB, 50 * KIB):  # two backends that refuse early
            got = b""
            async for piece in request.body:
                got += piece
                if len(got) >= patience:
                    break
            assert BODY.startswith(got)
            assert request.replayable
        kept.append(door.server.spooled_bytes)
        assert await whole(request) == BODY
        assert not request.replayable
        with pytest.raises(RuntimeError, match="is gone"):
            await whole(request)
        client.answer(200, (), b"")

    door.gateway.serve = serve
    assert (await door.ask(sized(len(BODY)) + BODY)).status == 200
    assert kept[0] <= 100 * KIB
    assert kept[0] > 80 * KIB


async def test_a_chunked_body_is_kept_to_its_end(door: Door) -> None:
    reading = Reading(door, times=2)
    client = await door.connect()
    await client.send(CHUNKED)
    for at in range(0, 90 * KIB, 9 * KIB):
        await client.send(b"%x\r\n%b\r\n" % (9 * KIB, BODY[at : at + 9 * KIB]))
        await asyncio.sleep(0)
    await client.send(b"0\r\n\r\n")
    assert (await client.answer()).status == 200
    assert reading.read == [BODY[: 90 * KIB]] * 2
    assert (await client.ask(sized(90 * KIB) + BODY[: 90 * KIB])).status == 200, "the connection lives on"


async def test_the_model_is_found_wherever_it_stands_in_what_is_kept(door: Door) -> None:
    reading = Reading(door)
    part = b'--XyZ\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    body = part % (b"file", BODY[: 80 * KIB]) + part % (b"model", b"gpt") + b"--XyZ--\r\n"
    await door.ask(sized(len(body), FORM) + body)
    seen = reading.bodies[0].seen
    assert seen is not None
    field = seen.found()
    assert field is not None
    assert (field.value, body[field.start : field.end]) == ("gpt", b"gpt")


async def test_a_body_that_is_sure_to_be_refused_is_not_kept_to_its_end(door: Door) -> None:
    reading = Reading(door)
    reading.go.clear()
    part = b'--XyZ\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    beginning = part % (b"model", b"a") * 2 + part % (b"file", BODY[: 30 * KIB])
    client = await door.connect()
    await client.send(sized(90 * KIB, FORM) + beginning)
    await soon(door.gateway.arrived)
    seen = reading.bodies[0].seen
    assert seen is not None
    assert seen.problem is not None
    client.close()
    await soon(door.gateway.settled)


async def test_json_stays_in_memory_while_there_is_some(door: Door) -> None:
    body = b'{"model":"gpt","input":"' + b"x" * 60 * KIB + b'"}'
    for room, kept in ((KIB * KIB, True), (50 * KIB, False)):
        door.server._hub.room.memory.limit = room
        door.gateway.requests.clear()
        await door.ask(sized(len(body), b"Content-Type: application/json") + body)
        assert isinstance(door.gateway.requests[0].body, bytes) is kept


def refusing(number: int, after: int = 0) -> Callable[..., int]:
    """A disk that takes so many writes."""
    real, count = os.pwrite, 0

    def write(file: int, piece: bytes, at: int) -> int:
        nonlocal count
        count += 1
        if count > after:
            raise OSError(number, os.strerror(number))
        return real(file, piece, at)

    return write


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_on_a_full_disk_the_body_passes_once_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(os, "pwrite", refusing(errno.ENOSPC, after))
    body = BODY * 10
    limits = {"replay_max": len(body), "memory_max": 10 * KIB, "kept_max": KIB * KIB, "disk_max": 4 * KIB * KIB}
    async with open_door(**limits, directory=str(tmp_path)) as door:  # type: ignore[arg-type]
        for _ in range(3):
            reading = Reading(door)
            assert (await door.ask(sized(len(body)) + body)).status == 200
            assert reading.read == [body]
            (kept,) = reading.bodies
            assert (kept.whole, kept.started) == (False, True)
        assert door.reports[:1] == [
            (
                "Large bodies are not kept for another backend",
                {"reason": "No space left on device", "directory": str(tmp_path)},
            )
        ]
        assert len(door.reports) == 1, "once a minute"
        await until(lambda: door.server.spooled_bytes == 0)


async def test_bodies_share_the_disk_and_what_exceeds_their_share_passes_once(tmp_path: Path) -> None:
    limits = {"replay_max": 100 * KIB, "memory_max": 10 * KIB, "kept_max": KIB * KIB, "disk_max": 100 * KIB}
    async with open_door(**limits, directory=str(tmp_path)) as door:  # type: ignore[arg-type]
        reading = Reading(door)
        reading.go.clear()
        clients: list[RawClient] = []
        for number in (1, 2):
            clients.append(await door.connect())
            await clients[-1].send(sized(90 * KIB) + BODY[: 90 * KIB])
            await until(lambda number=number: len(reading.bodies) == number)  # type: ignore[misc]
        assert [body.whole for body in reading.bodies] == [True, False]
        assert door.server.spooled_bytes <= 100 * KIB
        assert [facts["reason"] for _, facts in door.reports] == ["LB_REPLAY_DISK_BYTES are used up"]
        reading.go.set()
        for client in clients:
            assert (await client.answer()).status == 200
        assert reading.read == [BODY[: 90 * KIB]] * 2


async def test_what_the_disk_does_not_give_back_is_no_backends_fault(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: int, size: int, at: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fail)
    failures: list[BackendFailed] = []

    async def serve(request: Request, client: Client) -> None:
        with pytest.raises(BackendFailed) as failure:
            await whole(request)
        failures.append(failure.value)
        client.answer(503, (), b"")

    door.gateway.serve = serve
    await door.ask(sized(90 * KIB) + BODY[: 90 * KIB])
    assert (failures[0].blame, failures[0].detail) == (
        Blame.OURS,
        "what was kept of the body cannot be read: Input/output error",
    )


async def test_a_client_that_leaves_while_its_body_is_written_leaves_nothing(door: Door) -> None:
    before = nameless()
    for cut in (11, 40, 70, 89):
        client = await door.connect()
        await client.send(sized(90 * KIB) + BODY[: cut * KIB])
        await asyncio.sleep(0.01)
        client.close()
    await until(lambda: door.server.connections == 0 and nameless() == before)
    assert door.gateway.requests == []


async def test_a_slow_disk_stops_the_client_and_nobody_else(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()
    loop, real = asyncio.get_running_loop(), os.pwrite

    def slow(file: int, piece: bytes, at: int) -> int:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(5)
        return real(file, piece, at)

    monkeypatch.setattr(os, "pwrite", slow)
    door.server._hub.room.each = 50 * KIB * KIB
    door.server._hub.room.disk.budget.limit = 60 * KIB * KIB  # type: ignore[union-attr]
    Reading(door)
    client = await door.connect()
    size = 20 * KIB * KIB
    await client.send(sized(size))
    sending = asyncio.ensure_future(send(client, size))
    await until(lambda: any(front.paused for front in door.server._hub.fronts))
    assert door.server.kept_bytes < KIB * KIB
    assert (await door.ask(b"GET /healthz HTTP/1.1\r\nHost: lb\r\n\r\n")).status == 200
    go.set()
    assert (await client.answer()).body == b"%d" % size
    await sending


async def send(client: RawClient, size: int) -> None:
    for _ in range(size // (64 * KIB)):
        await client.send(b"x" * 64 * KIB)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spool.nameless_file(str(tmp_path / "gone"))
