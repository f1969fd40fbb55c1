"""Takes connections from a listening socket that several workers have in common.

The event loop's own server takes all that wait whenever it wakes, so that a burst, and every later request on those
connections, would be one worker's. This one takes one at a time, and lets others go first while it has more than they.
"""

import asyncio
import socket
from collections.abc import Callable

YIELD_SECONDS = 0.002
"""For which a worker with more connections leaves new ones to others. If those are too busy to come it takes them."""
EXHAUSTED_SECONDS = 0.25

Protocols = Callable[[], asyncio.Protocol]
Ahead = Callable[[int], bool]
"""Given how many connections are open here: have other workers clearly fewer?"""


class Acceptor:
    """Like an `asyncio.Server` as far as a listener needs one. Starts at once; closes the socket at its end."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Callable[[], int],
        ahead: Ahead,
    ) -> None:
        self.sockets: tuple[socket.socket, ...] = (sock,)
        self._sock = sock
        self._protocol = protocol
        self._connections = connections
        self._ahead = ahead
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._beginning: set[asyncio.Task[object]] = set()
        self._loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Take no more. Idempotent."""
        if not self.sockets:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        self.sockets = ()

    def _readable(self) -> None:
        if self._ahead(self._connections() + len(self._beginning)):
            self._rest(YIELD_SECONDS)
        else:
            self._take()

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._readable)
        self._take()

    def _take(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker was faster, or the client has left
            return
        except OSError:  # out of file descriptors: it would be readable, and refused, again at once
            if self._pause is None:
                self._rest(EXHAUSTED_SECONDS)
            return
        sock.setblocking(False)
        task = self._loop.create_task(self._begin(sock))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, sock)
        except OSError:
            sock.close()
