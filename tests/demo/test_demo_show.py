"""The whole demo, as somebody at a terminal runs it."""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp

COMMAND = (sys.executable, "-m", "lb", "demo", "--seconds")
PATIENCE = 80
CUTS_STREAMS = """
import sys
from lb.demo import plan, run
arguments = plan.Endpoint.arguments
plan.Endpoint.arguments = lambda self: [*arguments(self), "--fault=cut-mid-stream@0.2"]
sys.exit(run(False, 2))
"""
WITHOUT_SDK = "import sys; sys.modules['openai'] = None; from lb.demo import run; sys.exit(run(False, 3))"


class Terminal:
    """A demo behind a pseudo terminal of 100 columns."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> None:
        self.process = process
        self._reader = reader
        self.text = ""

    async def until(self, wanted: str) -> re.Match[str]:
        """Read on until a pattern has appeared."""
        while not (found := re.search(wanted, self.text)):
            piece = await self._piece()
            assert piece, f"ended without {wanted!r}: {self.text[-2000:]}"
        return found

    async def ended(self) -> int:
        """Read to the end; the exit code."""
        while await self._piece():
            pass
        return await self.process.wait()

    async def _piece(self) -> str:
        with contextlib.suppress(OSError):  # Linux says so when the last process has closed the terminal
            piece = (await self._reader.read(65_536)).decode(errors="replace")
            self.text += piece
            return piece
        return ""


@contextlib.asynccontextmanager
async def terminal(*arguments: str) -> AsyncIterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color"}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    )
    os.close(theirs)
    reader = asyncio.StreamReader()
    with os.fdopen(ours, "rb", buffering=0) as end:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), end
        )
        try:
            async with asyncio.timeout(PATIENCE):
                yield Terminal(process, reader)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            transport.close()


async def run(*arguments: str, **options: str) -> tuple[int, str]:
    """Run to the end without a terminal."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **options}
    )
    async with asyncio.timeout(PATIENCE):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def children(pid: int) -> dict[str, int]:
    """Command line to process id of everything that `pid` started."""
    return {arguments: child for child, parent, arguments in _processes() if parent == pid}


def _processes() -> Iterator[tuple[int, int, str]]:
    """Process, its parent, its command line: from /proc where there is one, else from `ps`."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        command = ["ps", "-A", "-o", "pid=,ppid=,args="]
        for line in subprocess.check_output(command, text=True).splitlines():  # noqa: S603 - nothing from outside
            pid, parent, arguments = line.split(None, 2)
            yield int(pid), int(parent), arguments
        return
    for entry in proc.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                yield int(entry.name), int(parent), (entry / "cmdline").read_text().replace("\0", " ")


def alive(started: dict[str, int]) -> list[str]:
    return [arguments for arguments, pid in started.items() if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_without_a_terminal_it_writes_lines_and_a_table_and_ends_well() -> None:
    code, text = await run(*COMMAND, "3", LB_PORT="not ours", BACKEND_9_URL="nor this")
    assert code == 0, text
    assert re.search(r"^Proxying to http://127.0.0.1:\d+/openai/", text, re.MULTILINE)
    assert "marked as unhealthy, reactivation in 00:00:0" in text
    assert re.search(r"errors the client saw +0", text)
    assert re.search(r"429s absorbed +[1-9]", text)
    assert "\x1b" not in text


async def test_on_a_terminal_it_draws_and_with_keep_it_serves_until_interrupted() -> None:
    async with terminal("3", "--keep") as demo:
        address = (await demo.until(r"AZURE_OPENAI_ENDPOINT=(\S+)"))[1]
        assert "╭─" in demo.text
        started = children(demo.process.pid)
        assert len(started) == 4
        body = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
        url = f"{address}/openai/v1/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
            assert (reply.status, "choices" in await reply.json()) == (200, True)
        os.killpg(demo.process.pid, signal.SIGINT)
        assert await demo.ended() == 0
        assert not alive(started)


async def test_an_error_that_reached_the_client_fails_the_demo_and_is_named() -> None:
    code, text = await run(sys.executable, "-c", CUTS_STREAMS)
    assert code == 1
    assert "The balancer let through what it should have absorbed:" in text
    assert re.search(r"- (\d+ x )?streamed chat: ", text), text


async def test_an_interrupt_in_the_middle_ends_everything() -> None:
    async with terminal("30") as demo:
        await demo.until("Proxying to")
        started = children(demo.process.pid)
        os.killpg(demo.process.pid, signal.SIGINT)
        assert await demo.ended() == 130
        assert "Traceback" not in demo.text
        assert not alive(started)


async def test_a_child_that_dies_ends_the_demo_with_its_last_lines() -> None:
    async with terminal("30") as demo:
        await demo.until("Proxying to")
        [balancer] = [pid for line, pid in children(demo.process.pid).items() if " serve" in line]
        os.kill(balancer, signal.SIGKILL)
        assert await demo.ended() == 1
        assert "the balancer was ended by signal 9. Its last lines:" in demo.text


async def test_without_the_sdk_one_line_says_how_to_get_it() -> None:
    code, text = await run(sys.executable, "-c", WITHOUT_SDK)
    assert code == 2
    assert text.startswith("lb: the demo needs the openai package, which is missing: in a clone ")
    assert "pip install -e '.[demo]' (the image is made without it)" in text


async def test_tenants_are_refused_by_their_own_budgets_and_every_token_is_told() -> None:
    code, out = await run(*COMMAND, "4", "--tenants")
    assert code == 0, out
    assert "nobody else was, and every token is in the books" in " ".join(out.split())
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(("marketing", "search"))}
    assert rows["search"][-3] == "0"
    assert rows["marketing"][-3] == "tokens/min", "the 429s by that budget"
    assert [row[-1] for row in rows.values()] == [row[-2] for row in rows.values()]
