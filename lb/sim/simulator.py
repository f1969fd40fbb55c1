"""A simulated endpoint on a real socket."""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable
from types import TracebackType

from aiohttp import web

from lb.sim.endpoint import Endpoint
from lb.sim.faults import Faults
from lb.sim.ledger import Ledger
from lb.sim.records import Book, Counts
from lb.sim.service import Service
from lb.sim.settings import Settings
from lb.sim.stage import Clock, Sleep, Stage

LAST_WORDS_SECONDS = 0.01
"""How long replies may go on when the simulator stops."""


class Simulator:
    """One throttled Azure OpenAI endpoint, to be used as `async with Simulator(Settings(...)) as sim`.

    `clock` measures limits (the event loop's where none is given), `today` gives the date in seconds since 1970,
    `sleep` does all waiting: with a virtual clock no test has to wait.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        today: Clock = time.time,  # noqa: TID251 - the default of a parameter: replies carry the real date
        sleep: Sleep = asyncio.sleep,  # noqa: TID251 - the default of a parameter: latency is the point
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.endpoint = Endpoint(settings or Settings())
        self.url = ""
        self._clock = clock
        self._today = today
        self._sleep = sleep
        self._tls = tls
        self._place = ("127.0.0.1", 0)
        self._stage: Stage | None = None
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        """Holds the port, without listening, while connections are refused."""
        self._reopening: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.endpoint.settings.name

    @property
    def received(self) -> Book:
        """The latest requests."""
        return self.endpoint.received

    @property
    def ledger(self) -> Ledger:
        """Who used how many tokens."""
        return self.endpoint.ledger

    @property
    def faults(self) -> Faults:
        """What is to go wrong, and what did."""
        return self.endpoint.faults

    @property
    def counts(self) -> Counts:
        """How many requests of which kind."""
        return self.endpoint.counts

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._server.connections) if self._server else 0

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait until `so()` is true, for example `lambda: sim.counts.in_flight == 0`."""
        assert self._stage is not None, "not started yet"  # noqa: S101 - a mistake of the caller
        await self._stage.until(so)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """Listen, on a free port unless one is named, and return the URL. Raises OSError when the port is taken."""
        clock = self._clock or asyncio.get_running_loop().time
        self._stage = Stage(self.endpoint, clock, self._today, self._sleep, self.refuse)
        self._server = web.Server(
            Service(self._stage),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=65_536,
            max_field_size=65_536,
            logger=logging.getLogger("lb.sim"),
        )
        self._place = (host, port)
        await self._listen()
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._place[1]}"
        return self.url

    async def _listen(self) -> None:
        host = self._place[0]
        sock = self._reserved or self._bound()
        self._reserved = None
        self._place = (host, sock.getsockname()[1])
        assert self._server is not None  # noqa: S101 - for the type checker: `start` has made it
        self._listener = await asyncio.get_running_loop().create_server(
            self._server, sock=sock, ssl=self._tls, backlog=1024
        )

    def _bound(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self._place[0] else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(self._place)
        except OSError:
            sock.close()
            raise
        return sock

    def refuse(self, seconds: float) -> None:
        """Refuse connections for a while, and cut those that exist; while it does so, further calls change nothing."""
        if self._reopening is None:
            self.down()
            self._reopening = asyncio.get_running_loop().create_task(self._reopen(seconds))

    async def _reopen(self, seconds: float) -> None:
        await self._sleep(seconds)
        self._reopening = None
        await self.up()

    def down(self) -> None:
        """Refuse connections until `up`, and cut those that exist."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            with contextlib.suppress(OSError):  # a loop that closes later than at once still holds it; then nobody does
                self._reserved = self._bound()
        for connection in self._server.connections if self._server else []:
            if connection.transport is not None:
                connection.transport.abort()

    async def up(self) -> None:
        """Listen again, on the same port. Raises OSError when somebody else took it."""
        if self._listener is None and self._server is not None:
            await self._listen()

    async def stop(self) -> None:
        """Stop listening and cut what is still running."""
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        if self._server is not None:
            await self._server.shutdown(LAST_WORDS_SECONDS)
            self._server = None

    async def __aenter__(self) -> "Simulator":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
