"""The life of `lb serve`: how it starts, takes a new configuration, drains, and what it says when it cannot start."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest
from balancer import PATIENCE, Balancer, backends

from lb.sim import Settings, Simulator, Span

CHAT = "/openai/deployments/chat/chat/completions?api-version=2024-10-21"
BODY = {"messages": [{"role": "user", "content": "hello"}]}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what the warning is about
WORKERS = pytest.mark.parametrize("workers", ["1", "2"], ids=["one process", "two workers"])


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        yield session


@pytest.fixture
def hurry() -> asyncio.Event:
    """From when this is set on, `slow` waits for nothing."""
    return asyncio.Event()


@pytest.fixture
async def slow(hurry: asyncio.Event) -> AsyncIterator[Simulator]:
    """Streams for a minute, unless somebody is in a hurry."""

    async def wait(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await hurry.wait()

    settings = Settings(name="openai1", token_delay=Span(0.1, 0.1), reply_tokens=600)
    async with Simulator(settings, sleep=wait) as simulator:
        yield simulator


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


class Stream:
    """A streamed answer that is under way; `text` grows."""

    def __init__(self, session: aiohttp.ClientSession, balancer: Balancer) -> None:
        self.text = b""
        self.begun = asyncio.Event()
        self.ended = asyncio.create_task(self._read(session, balancer))

    async def _read(self, session: aiohttp.ClientSession, balancer: Balancer) -> None:
        async with session.post(balancer.url + CHAT, json={**BODY, "stream": True}) as reply:
            assert reply.status == 200
            async for piece in reply.content.iter_any():
                self.text += piece
                self.begun.set()

    @classmethod
    async def begin(cls, session: aiohttp.ClientSession, balancer: Balancer) -> "Stream":
        stream = cls(session, balancer)
        async with asyncio.timeout(PATIENCE):
            await stream.begun.wait()
        return stream


async def answered_by(session: aiohttp.ClientSession, balancer: Balancer) -> str:
    async with session.post(balancer.url + CHAT, json=BODY) as reply:
        assert reply.status == 200
        return reply.headers["x-lb-backend"]


async def until_answered_by(session: aiohttp.ClientSession, balancer: Balancer, name: str, times: int = 1) -> None:
    """So many answers in a row."""
    row = 0
    async with asyncio.timeout(PATIENCE):
        while row < times:
            row = row + 1 if await answered_by(session, balancer) == name else 0


async def until_not_ready(session: aiohttp.ClientSession, balancer: Balancer) -> None:
    """Asked all the time, since a drain answers no new connection after its first second."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with session.get(f"{balancer.url}/readyz") as reply:
                if reply.status == 503:
                    return


def configuration(path: Path, *simulators: Simulator, more: str = "") -> Path:
    """Written in one piece: the balancer may look at any moment."""
    fresh = path.with_suffix(".new")
    fresh.write_text(
        "backends:\n"
        + "".join(f"  - {{name: {one.name}, url: '{one.url}', api_key: any}}\n" for one in simulators)
        + more
    )
    return fresh.replace(path)


async def ended(*arguments: str, **settings: str) -> tuple[int | None, list[dict[str, str]], str]:
    """Start a command that is to end by itself: exit code, log lines, stderr."""
    environ = {k: v for k, v in os.environ.items() if not k.upper().startswith(("LB_", "BACKEND_"))}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lb", "serve", *arguments),
        env={**environ, "LB_HOST": "127.0.0.1", "LB_PORT": "0", "LB_ADMIN_PORT": "0", **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await command.communicate()
    return command.returncode, [orjson.loads(line) for line in out.splitlines()], err.decode()


@WORKERS
async def test_sighup_reads_the_configuration_again_and_a_running_stream_goes_on(
    session: aiohttp.ClientSession, slow: Simulator, hurry: asyncio.Event, tmp_path: Path, workers: str
) -> None:
    path = configuration(tmp_path / "lb.yaml", slow)
    async with (
        Simulator(Settings(name="other")) as other,
        Balancer(LB_CONFIG=str(path), LB_WORKERS=workers) as balancer,
    ):
        stream = await Stream.begin(session, balancer)
        configuration(path, other)
        assert balancer.process is not None
        balancer.process.send_signal(signal.SIGHUP)
        line = await balancer.line(lambda line: line["event"] == "Configuration reloaded")
        assert line["backends"] == [f"other {other.url}"]
        await until_answered_by(session, balancer, "other", times=10)
        assert not stream.ended.done()
        hurry.set()
        async with asyncio.timeout(PATIENCE):
            await stream.ended
        assert stream.text.endswith(b"data: [DONE]\n\n")
        assert len(balancer.events("Configuration reloaded")) == 1


@WORKERS
async def test_a_changed_file_is_taken_over_and_a_bad_one_is_refused(
    session: aiohttp.ClientSession, tmp_path: Path, workers: str
) -> None:
    async with Simulator(Settings(name="first")) as first, Simulator(Settings(name="second")) as second:
        path = configuration(tmp_path / "lb.yaml", first)
        async with Balancer(LB_CONFIG=str(path), LB_WORKERS=workers) as balancer:
            assert await answered_by(session, balancer) == "first"
            configuration(path, second, more="limits: {drain_seconds: soon}\n")
            refused = await balancer.line(lambda line: line["event"].startswith("Configuration not reloaded"))
            assert "drain_seconds" in refused["event"]
            assert "soon" in refused["event"]
            assert await answered_by(session, balancer) == "first"
            configuration(path, second)
            await balancer.line(lambda line: line["event"] == "Configuration reloaded")
            await until_answered_by(session, balancer, "second", times=10)
            assert len(balancer.events("Configuration not reloaded")) == 1


@WORKERS
async def test_sigterm_lets_a_running_stream_finish_and_tells_those_in_front(
    session: aiohttp.ClientSession, slow: Simulator, hurry: asyncio.Event, workers: str
) -> None:
    async with Balancer(**backends(slow), LB_WORKERS=workers) as balancer:
        streams = [await Stream.begin(session, balancer) for _ in range(4)]
        assert balancer.process is not None
        told = asyncio.create_task(until_not_ready(session, balancer))
        balancer.process.send_signal(signal.SIGTERM)
        await balancer.line(lambda line: line["event"] == "Draining")
        await told
        assert (await balancer.status())["draining"]
        hurry.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(stream.ended for stream in streams))
            assert await balancer.process.wait() == 0
        assert all(stream.text.endswith(b"data: [DONE]\n\n") for stream in streams)
        with pytest.raises(aiohttp.ClientConnectorError):
            await answered_by(session, balancer)


@WORKERS
async def test_a_stream_longer_than_the_time_to_drain_is_cut(
    session: aiohttp.ClientSession, slow: Simulator, workers: str
) -> None:
    async with Balancer(**backends(slow), LB_WORKERS=workers, LB_DRAIN_SECONDS="0.3") as balancer:
        stream = await Stream.begin(session, balancer)
        assert balancer.process is not None
        balancer.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(aiohttp.ClientError):
                await stream.ended
            assert await balancer.process.wait() == 0
        assert b"[DONE]" not in stream.text
        (told,) = balancer.events("Request cut by the balancer's end")
        assert (told["level"], told["status"]) == ("warning", 200)


@WORKERS
async def test_a_taken_port_is_said_and_ends_the_start(taken: int, workers: str) -> None:
    code, lines, _ = await ended(
        "--workers", workers, LB_PORT=str(taken), BACKEND_1_URL="https://one.example", BACKEND_1_APIKEY="any"
    )
    assert code == 1
    assert [(line["level"], line["event"]) for line in lines] == [
        ("error", f"LB_HOST, LB_PORT: cannot listen on 127.0.0.1 port {taken}: another program listens there already")
    ]


@WORKERS
async def test_a_taken_operator_port_is_said_and_ends_the_start(taken: int, workers: str) -> None:
    code, lines, _ = await ended(
        "--workers", workers, LB_ADMIN_PORT=str(taken), BACKEND_1_URL="https://one.example", BACKEND_1_APIKEY="any"
    )
    assert code == 1
    assert [(line["level"], line["event"]) for line in lines] == [
        (
            "error",
            f"LB_ADMIN_HOST, LB_ADMIN_PORT: cannot listen on 127.0.0.1 port {taken}: "
            "another program listens there already",
        )
    ]


async def test_a_wrong_configuration_never_starts() -> None:
    code, lines, err = await ended(BACKEND_1_URL="ftp://one.example", LB_WORKERS="many", LB_TYPO="1")
    assert code == 2
    assert lines == []
    assert {line.split(":")[1].strip() for line in err.splitlines()} == {"BACKEND_1_URL", "LB_TYPO", "LB_WORKERS"}


async def test_options_win_over_the_environment(taken: int) -> None:
    code, lines, _ = await ended(
        *("--host", "127.0.0.1", "--port", str(taken)),
        LB_HOST=EVERYWHERE,
        LB_PORT="1",
        BACKEND_1_URL="https://one.example",
        BACKEND_1_APIKEY="any",
    )
    assert code == 1
    assert f"127.0.0.1 port {taken}" in lines[0]["event"]


async def test_who_is_open_to_strangers_is_warned_once(three: list[Simulator]) -> None:
    async with Balancer(**backends(*three), LB_HOST=EVERYWHERE) as balancer:
        (warning,) = balancer.events("Open to strangers")
        assert warning["level"] == "warning"
    async with Balancer(**backends(*three), LB_HOST=EVERYWHERE, LB_CLIENT_KEYS="a:k") as balancer:
        assert balancer.events("Open to strangers") == []


async def test_an_operator_listener_that_strangers_reach_without_a_key_is_warned_of(three: list[Simulator]) -> None:
    async with Balancer(**backends(*three), LB_ADMIN_HOST=EVERYWHERE) as balancer:
        (warning,) = balancer.events("The operator listener shows")
        assert warning["level"] == "warning"
    async with Balancer(**backends(*three), LB_ADMIN_HOST=EVERYWHERE, LB_ADMIN_KEYS="a:k") as balancer:
        assert balancer.events("The operator listener shows") == []
