"""The process that makes records and writes them: `python -m lb.audit.clerk FD`, started by `feed.Feed`.

It reads on only when what it has is written, so a sink that takes nothing fills the socket, then the balancer's bounded
queue, and there records are dropped and counted: nowhere else. It ends when the balancer closes the socket, or is gone.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import orjson

from lb.audit.frames import LINE, ONE, REPORT, Frames, tagged
from lb.audit.records import Desk
from lb.audit.redaction import Redaction, TookTooLong, load_hook, refusing
from lb.audit.sinks import Sink

BATCH_SECONDS = 1.0
BATCH_BYTES = 256 * 1024
BATCH_LINES = 1000
READ_BYTES = 256 * 1024
FIRST_PAUSE = 0.5
MAX_PAUSE = 30.0
REDACTION_SECONDS = 2.0
"""For one record. A pattern can need hours for a text that somebody made for it."""
AGAIN_SECONDS = 0.5
"""A function that caught the alarm and went on is told again."""


class Stdout:
    """Gives lines back to the balancer, whose log writer never mixes two lines."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, lines: list[bytes]) -> int:
        for line in lines:
            self._writer.write(tagged(LINE, line))
        await self._writer.drain()
        return 0

    async def close(self) -> None:
        """The socket is the clerk's."""


class Clerk:
    """`orphaned` tells whether the balancer is gone."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        tell: Callable[[bytes], Awaitable[None]],
        desk: Desk,
        sink: Sink,
        orphaned: Callable[[], bool],
    ) -> None:
        self._reader = reader
        self._tell = tell
        self._desk = desk
        self._sink = sink
        self._orphaned = orphaned
        self._frames = Frames()
        self._lines: list[bytes] = []
        self._size = 0
        self._done = 0
        """Captures that this batch is made of; some make no line."""
        self._unwanted = 0
        self._contents = 0
        self._failing: str | None = None

    async def work(self) -> None:
        """Until the balancer closes the socket."""
        loop = asyncio.get_running_loop()
        reading, due = loop.create_task(self._reader.read(READ_BYTES)), 0.0
        while True:
            wait = max(0.0, due - loop.time()) if self._done else None
            await asyncio.wait({reading}, timeout=wait)
            if reading.done():
                received = b"" if reading.exception() else reading.result()
                if not received:
                    break
                due = due if self._done else loop.time() + BATCH_SECONDS
                for frame in self._frames.feed(received):
                    self._enter(*frame)
                    if self._size >= BATCH_BYTES or len(self._lines) >= BATCH_LINES:
                        await self._write()
                reading = loop.create_task(self._reader.read(READ_BYTES))
            if self._done and loop.time() >= due:
                await self._write()
        await self._write()
        await self._sink.close()

    async def remark(self, text: str) -> None:
        """Have the balancer say this in its log."""
        await self._report(written=0, dropped=0, remark=text)

    def _enter(self, facts: bytes, request: bytes, reply: bytes) -> None:
        line = self._desk.line(orjson.loads(facts), request, reply)
        self._done += 1
        if line is None:
            self._unwanted += 1
        else:
            self._lines.append(line)
            self._size += len(line)

    async def _write(self) -> None:
        """All lines, however long it takes; what cannot be written waits, and so does all that follows."""
        written, left_out, pause = 0, 0, FIRST_PAUSE
        while self._lines:
            try:
                left_out = await self._sink.write(self._lines)
                written = len(self._lines) - left_out
                break
            except Exception as failure:
                reason = _reason(failure)
            if self._orphaned():
                break
            if self._failing is None:
                self._failing = reason
                await self._report(written=0, dropped=0)
            await asyncio.sleep(pause)  # noqa: TID251 - a sink that failed is left alone for a while
            pause = min(2 * pause, MAX_PAUSE)
        self._failing = None
        await self._report(written=written, dropped=left_out, done=self._done)
        self._lines, self._size, self._done = [], 0, 0

    async def _report(self, *, written: int, dropped: int, done: int = 0, remark: str = "") -> None:
        contents, self._contents = self._desk.contents_dropped - self._contents, self._desk.contents_dropped
        told = {"done": done, "written": written, "dropped": dropped, "contents": contents}
        await self._tell(tagged(REPORT, orjson.dumps({**told, "failing": self._failing, "remark": remark})))


def _reason(failure: Exception) -> str:
    """In one line. What an identity service answered may hold a token, so of that only the kind is told."""
    text = str(failure).strip().partition("\n")[0][:200]
    kind = type(failure).__name__
    return kind if not text or "Authentication" in kind or "Credential" in kind else f"{kind}: {text}"


def make_sink(settings: dict[str, Any], writer: asyncio.StreamWriter) -> Sink:
    """The sink that the settings name."""
    where, connection, identity = settings["url"], settings["connection_string"], settings["client_id"]
    match settings["to"]:
        case "file":
            from lb.audit.sinks.files import RotatingFile

            limits = settings["file_bytes"], settings["file_count"]
            return RotatingFile(settings["file"], *limits, daily=settings["file_daily"], wall=_wall)
        case "blob":
            from lb.audit.sinks.blob import append_blobs

            return append_blobs(where, connection, identity, f"{socket.gethostname()}-{os.getpid()}", _wall)
        case "eventhubs":
            from lb.audit.sinks.hubs import event_hub

            return event_hub(where, connection, identity)
    return Stdout(writer)


_wall = time.time  # noqa: TID251 - the clerk is a process of its own, and this its one clock


async def _serve(fd: int) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=fd))
    parent = os.getppid()

    async def tell(message: bytes) -> None:
        with suppress(ConnectionError):  # the balancer is gone: nobody is left to be told
            writer.write(message)
            await writer.drain()

    (length,) = ONE.unpack(await reader.readexactly(ONE.size))
    settings = orjson.loads(await reader.readexactly(length))
    hook, remark = None, ""
    if settings["hook"] is not None:
        try:
            hook = load_hook(settings["hook"])
        except Exception as failure:
            hook = refusing
            remark = f"The audit's hook {settings['hook']} cannot be loaded, so no content is kept: {_reason(failure)}"
    redaction = Redaction(settings["redact"], hook, settings["field_bytes"], _within_limit)
    desk = Desk(redaction, settings["field_bytes"], settings["record_bytes"])
    clerk = Clerk(reader, tell, desk, make_sink(settings, writer), lambda: os.getppid() != parent)
    if remark:
        await clerk.remark(remark)
    await clerk.work()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()  # until what it told is out


@contextmanager
def _within_limit() -> Iterator[None]:
    """Ends what takes longer, also within a regular expression, which looks for signals now and then.

    Raises `TookTooLong` at the end, too, where the alarm was swallowed: what came of that is not to be kept.
    An alarm that is seen on the way here, in `contextlib`, closes this generator when its exception is let go.
    """
    end = _clock() + REDACTION_SECONDS
    try:
        _armed.append(True)
        signal.setitimer(signal.ITIMER_REAL, REDACTION_SECONDS, AGAIN_SECONDS)
        yield
    finally:  # a signal is seen where a function written in Python begins, so none may be called before this
        _armed.clear()  # an alarm that comes as late as this is for nobody
        signal.setitimer(signal.ITIMER_REAL, 0)
    if _clock() >= end:
        raise TookTooLong


_armed: list[bool] = []
_clock = time.monotonic  # noqa: TID251 - as above


def _too_long(number: int, frame: object) -> None:
    if _armed:
        raise TookTooLong


def main() -> None:
    """Only the balancer decides when this ends: a terminal sends its signals to both."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _too_long)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o077)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries have to say is told by what they raise
    try:
        asyncio.run(_serve(int(sys.argv[1])))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # no thread that the operator's function left behind keeps the process


if __name__ == "__main__":
    main()
