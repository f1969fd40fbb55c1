"""Hands captures to the clerk, a process of its own, without the event loop ever waiting for it.

They wait in a queue whose bytes are bounded, together with those that are still being captured; what finds no room is
dropped and counted. A turn of the loop writes what the socket takes at once: a prompt of a megabyte goes out in steps.
"""

import asyncio
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Any

import orjson

from lb.audit.frames import LINE, ONE, THREE, Messages

BATCH_SECONDS = 0.1
"""The first capture waits so long for others, so that one system call takes many."""
PIECES = 512
"""Buffers for one system call; the system allows 1024."""
FIRST_DELAY = 1.0
MAX_DELAY = 30.0
CLOSE_SECONDS = 3.0
"""For the clerk to write what is left when the balancer ends."""
EXIT_SECONDS = 1.0
"""For its process to end by itself after that."""
PIECE = 100
"""Bytes that a buffer takes besides its content, about: CPython's object, its places in a list and in the queue."""
SMALL = 4096
"""Pieces of a reply that have fewer bytes, on average, are joined before they wait."""

Say = Callable[..., None]


class Feed:
    """`settings` are the clerk's; `line` takes a finished line that is meant for stdout; False where it drops it."""

    def __init__(self, settings: dict[str, Any], most: int, say: Say, line: Callable[[bytes], bool]) -> None:
        told = orjson.dumps(settings)
        self._settings = ONE.pack(len(told)) + told
        self._most = most
        self._say = say
        self._line = line
        self._held = 0
        self._queue: deque[tuple[bytes | memoryview, bool]] = deque()
        """Buffers, and whether a capture ends with it."""
        self._sock: socket.socket | None = None
        self._clerk: subprocess.Popen[bytes] | None = None
        self._messages = Messages()
        self._writing = False
        self._scheduled: asyncio.TimerHandle | None = None
        self._delay = FIRST_DELAY
        self._running = 0
        """Captures that the clerk has, as far as it has told."""
        self._refused = 0
        """Lines that `line` dropped, and that the clerk is still to tell as written."""
        self._begun = False
        """A part of the queue's first capture was sent."""
        self._dropping = 0
        self._failing: str | None = None
        self._changed = asyncio.Event()
        self._closing = False
        self.written = 0
        self.dropped = 0
        self.contents_dropped = 0

    # What captures call.

    def take(self, size: int) -> bool:
        held = self._held + size + PIECE
        if held > self._most:
            return False
        self._held = held
        return True

    def send(self, facts: dict[str, Any], request: bytes, reply: list[bytes]) -> None:
        header = orjson.dumps(facts)
        size = sum(map(len, reply))
        if facts["content_dropped"]:
            self.contents_dropped += 1
            self._tell_dropping()
        if not facts["content_dropped"]:  # else nothing of it was taken
            self._held -= len(request) + size + PIECE * (1 + len(reply))
        if size < SMALL * len(reply):
            reply = [b"".join(reply)]
        head = THREE.pack(len(header), len(request), size) + header
        buffers = [head, *filter(None, (request, *reply))]
        held = self._held + sum(map(len, buffers)) + PIECE * len(buffers)
        if held > self._most:
            self._drop()
            return
        self._held = held
        last = len(buffers) - 1
        self._queue.extend([(buffer, place == last) for place, buffer in enumerate(buffers)])
        if self._scheduled is None and not self._writing and self._sock is not None:
            self._scheduled = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._flush)

    # Its life.

    def start(self) -> None:
        """Start the clerk; it is started again when it dies."""
        ours, theirs = socket.socketpair()
        ours.settimeout(1.0)
        command = [sys.executable, "-m", "lb.audit.clerk", str(theirs.fileno())]
        try:
            ours.sendall(self._settings)  # they fit into the socket, so this does not wait
            self._clerk = subprocess.Popen(  # noqa: S603 - ourselves, with no word of a stranger's
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs.fileno(),)
            )
        except OSError as problem:
            ours.close()
            self._say("error", "The audit's clerk could not be started", reason=str(problem))
            self._again()
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        self._sock = ours
        self._messages = Messages()
        asyncio.get_running_loop().add_reader(ours, self._hear)
        self._flush()

    async def close(self) -> None:
        """Let the clerk write what is left, within `CLOSE_SECONDS`. What it could not is told. Idempotent."""
        self._closing = True
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._sock is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    self._flush()
                    await self._until(lambda: not self._queue or self._sock is None)
                    if self._sock is not None:
                        self._sock.shutdown(socket.SHUT_WR)
                    await self._until(lambda: self._sock is None)
        clerk = self._clerk
        if clerk is not None:
            if self._sock is not None:
                clerk.kill()
            await asyncio.to_thread(_end, clerk)
        if self._sock is not None:
            self._part()
        lost = self._running + sum(ends for _, ends in self._queue)
        self._queue.clear()
        self._running = 0
        if lost:
            self.dropped += lost
            self._say("error", "Audit records were lost: they could not be written to the end", records=lost)

    def readings(self) -> dict[str, list[list[Any]]]:
        """For `/metrics`."""
        return {
            "lb_audit_records_total": [["written", self.written], ["dropped", self.dropped]],
            "lb_audit_contents_dropped_total": [[self.contents_dropped]],
            "lb_audit_held_bytes": [[self._held]],
            "lb_audit_up": [[int(self._sock is not None and self._failing is None)]],
        }

    async def _until(self, so: Callable[[], bool]) -> None:
        while not so():
            self._changed.clear()
            await self._changed.wait()

    # Towards the clerk.

    def _flush(self) -> None:
        self._scheduled = None
        sock = self._sock
        if sock is None or not self._queue:
            return
        try:
            sent = sock.sendmsg([buffer for buffer, _ in islice(self._queue, PIECES)])
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it is gone, which is heard, too
        self._forget(sent)
        if bool(self._queue) != self._writing:
            self._writing = bool(self._queue)
            loop = asyncio.get_running_loop()
            if self._writing:
                loop.add_writer(sock, self._flush)
            else:
                loop.remove_writer(sock)
                self._changed.set()
        if self._dropping and self._held * 2 < self._most:
            self._say("info", "Audit records are kept again", dropped=self._dropping)
            self._dropping = 0

    def _forget(self, sent: int) -> None:
        self._held -= sent
        while sent:
            buffer, ends = self._queue[0]
            self._begun = True
            if len(buffer) > sent:
                self._queue[0] = memoryview(buffer)[sent:], ends
                return
            sent -= len(buffer)
            self._held -= PIECE
            self._queue.popleft()
            self._running += ends
            self._begun = not ends

    def _drop(self) -> None:
        self.dropped += 1
        self._tell_dropping()

    def _tell_dropping(self) -> None:
        self._dropping += 1
        if self._dropping == 1:
            self._say(
                "error",
                "Audit records are dropped: they come faster than they can be written",
                reason=self._failing or "the clerk is too slow",
            )

    # From the clerk.

    def _hear(self) -> None:
        sock = self._sock
        assert sock is not None  # noqa: S101 - it is listened to as long as it is there
        try:
            received = sock.recv(256 * 1024)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._gone()
            return
        for tag, payload in self._messages.feed(received):
            if tag == LINE:
                self._refused += not self._line(payload)
            else:
                self._report(orjson.loads(payload))

    def _report(self, told: dict[str, Any]) -> None:
        self._running -= told["done"]
        refused = min(self._refused, told["written"])
        self._refused -= refused
        self.written += told["written"] - refused
        self.dropped += told["dropped"] + refused
        self.contents_dropped += told["contents"]
        self._delay = FIRST_DELAY
        failing = told["failing"]
        if failing is not None and self._failing is None:
            self._say("error", "Audit records cannot be written, and wait", reason=failing)
        elif failing is None and self._failing is not None:
            self._say("info", "Audit records are written again")
        self._failing = failing
        if told["remark"]:
            self._say("error", told["remark"])

    def _gone(self) -> None:
        """The clerk has ended: as it was told, or not."""
        self._part()
        self._changed.set()
        if self._closing:
            return
        lost = self._running
        if self._begun:  # nobody can go on with it
            lost += 1
            self._skip_one()
        self.dropped += lost
        self._running = self._refused = 0
        self._say("error", "The audit's clerk died; another is started", records_lost=lost, delay=self._delay)
        self._again()

    def _skip_one(self) -> None:
        ends = False
        while not ends and self._queue:
            buffer, ends = self._queue.popleft()
            self._held -= len(buffer) + PIECE
        self._begun = False

    def _part(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock)
            loop.remove_writer(sock)
            sock.close()
        self._writing = False
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def _again(self) -> None:
        if self._clerk is not None and self._clerk.poll() is None:
            self._clerk.kill()  # its socket is gone, and something keeps it: `_restart` sees it off
        asyncio.get_running_loop().call_later(self._delay, self._restart)
        self._delay = min(2 * self._delay, MAX_DELAY)

    def _restart(self) -> None:
        if not self._closing:
            if self._clerk is not None:
                self._clerk.poll()  # else it stays behind as a zombie
            self.start()


def _end(clerk: subprocess.Popen[bytes]) -> None:
    """Wait for its end, and make one where a thread of the operator's function keeps it. Blocks, within a bound."""
    try:
        clerk.wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        clerk.kill()
        with suppress(subprocess.TimeoutExpired):  # the system itself holds it, as a dead network file system does
            clerk.wait(EXIT_SECONDS)
