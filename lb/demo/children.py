"""The processes that the demo starts: each is heard line by line, missed when it dies, and ended with the demo."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LAST_LINES = 12
START_SECONDS = 60.0
END_SECONDS = 3.0
Announce = Callable[[str], str | None]
"""What a child's line says of the address where it listens, if it does."""

_FOREIGN = ("LB_", "BACKEND_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HTTP_TIMEOUT_SECONDS")


class ChildDied(Exception):
    """A child ended, or never began to listen. The text shows what it said last."""

    def __init__(self, name: str, how: str, lines: Sequence[str]) -> None:
        said = "\n".join(f"    {line}" for line in lines) if lines else "    (nothing)"
        super().__init__(f"{name} {how}. Its last lines:\n{said}")


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Ours for a child, without the settings of some other balancer and without proxies, and with `own`."""
    inherited = dict(os.environ)  # noqa: TID251 - handed on to children, not read as settings
    kept = {name: value for name, value in inherited.items() if not name.upper().startswith(_FOREIGN)}
    return {**kept, "PYTHONUNBUFFERED": "1", **own}


class Child:
    """One `lb` command in a process of its own. `url` is where it listens, once it has said so."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, announce: Announce) -> None:
        self.name = name
        self._process = process
        self._announce = announce
        self._said: deque[str] = deque(maxlen=LAST_LINES)
        self._hear: Callable[[str], None] = lambda line: None
        self._listens: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, name: str, arguments: Sequence[str], announce: Announce, own: Mapping[str, str] | None = None
    ) -> "Child":
        """Start `lb` with these arguments; `own` are the settings in its environment."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lb.demo.tied", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment(own or {}),
            start_new_session=True,  # Ctrl-C is for the demo, which then ends its children
        )
        return cls(name, process, announce)

    @property
    def pid(self) -> int:
        return self._process.pid

    def listen(self, hear: Callable[[str], None]) -> None:
        """Hand every line from now on to `hear`."""
        self._hear = hear

    async def url(self) -> str:
        """The address that it announced. Raises `ChildDied` when it ends first, or takes too long."""
        first: set[asyncio.Future[Any]] = {self._listens, self._ended}
        await asyncio.wait(first, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if self._listens.done():
            return self._listens.result()
        if self._ended.done():
            raise ChildDied(self.name, _ended(self._ended.result()), self._said)
        raise ChildDied(self.name, f"did not begin to listen within {START_SECONDS:g} s", self._said)

    async def death(self) -> None:
        """Wait until it ends, which it should not: always raises `ChildDied`."""
        code = await asyncio.shield(self._ended)
        raise ChildDied(self.name, _ended(code), self._said)

    async def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - for the type checker: `start` asked for the pipe
        async for raw in stream:
            line = raw.decode(errors="replace").rstrip()
            self._said.append(line)
            if not self._listens.done() and (url := self._announce(line)):
                self._listens.set_result(url)
            self._hear(line)
        self._ended.set_result(await self._process.wait())

    async def stop(self) -> None:
        """End it: asked first, then by force."""
        if self._process.returncode is None:
            self._process.terminate()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await asyncio.shield(self._reading)
        except TimeoutError:
            self._process.kill()
            await self._reading


def _ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
