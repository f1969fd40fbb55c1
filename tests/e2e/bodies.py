"""What the exam of large bodies consists of: origins, uploads, downloads, and a look at the balancer's memory."""

import asyncio
import contextlib
import hashlib
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from balancer import Balancer, hasty
from bodies_origin import BLOCK

MB = 1_000_000
FORM = b"multipart/form-data; boundary=exam"
MODEL = b'--exam\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
RENAMED = MODEL.replace(b"whisper", b"whisper-east")
FILE = b'--exam\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
END = b"--exam--\r\n"
ORIGIN = Path(__file__).with_name("bodies_origin.py")


@asynccontextmanager
async def origin(refusals: int = 0) -> AsyncIterator[str]:
    """The address of one that refuses the first uploads."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ORIGIN), str(refusals), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{(await process.stdout.readline()).decode().strip()}"
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined] # else it warns when the loop is gone


def balancer(*origins: str, **settings: str) -> Balancer:
    """In front of these, each of which has a name of its own for the deployment."""
    for number, url in enumerate(origins, 1):
        settings[f"BACKEND_{number}_URL"] = url
        settings[f"BACKEND_{number}_APIKEY"] = "k"
        settings[f"BACKEND_{number}_DEPLOYMENTS"] = "whisper=whisper-east"
        settings[f"BACKEND_{number}_PRIORITY"] = str(number)
    return hasty(**settings)


def parts(size: int, *, model_last: bool) -> tuple[list[bytes], str]:
    """A form with a file of so many bytes, in pieces that share their memory, and the hash of what a backend gets."""
    whole, rest = divmod(size, len(BLOCK))
    file = [FILE, *[BLOCK] * whole, BLOCK[:rest], b"\r\n"]
    sha = hashlib.sha256()
    for piece in [*file, RENAMED, END] if model_last else [RENAMED, *file, END]:
        sha.update(piece)
    return ([*file, MODEL, END] if model_last else [MODEL, *file, END]), sha.hexdigest()


def address(front: Balancer) -> tuple[str, int]:
    host, _, port = front.url.removeprefix("http://").partition(":")
    return host, int(port)


async def upload(front: Balancer, form: list[bytes]) -> tuple[int, dict[str, object]]:
    """Send it as fast as it is taken: the answer's status and JSON."""
    reader, writer = await asyncio.open_connection(*address(front))
    writer.write(
        b"POST /openai/v1/audio/transcriptions HTTP/1.1\r\nHost: lb\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        % (FORM, sum(map(len, form)))
    )
    try:
        with contextlib.suppress(ConnectionError):  # whoever answers early need not read to the end
            for piece in form:
                writer.write(piece)
                await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        assert length is not None
        return int(head[9:12]), json.loads(await reader.readexactly(int(length[1])))
    finally:
        writer.close()


async def download(front: Balancer, size: int) -> str:
    """The hash of what came."""
    reader, writer = await asyncio.open_connection(*address(front), limit=1024 * 1024)
    writer.write(b"GET /openai/v1/files/file-1/content?size=%d HTTP/1.1\r\nHost: lb\r\n\r\n" % size)
    try:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        sha = hashlib.sha256()
        while size and (piece := await reader.read(min(size, 1024 * 1024))):
            size -= len(piece)
            sha.update(piece)
        assert not size, f"{size} bytes are missing"
        return sha.hexdigest()
    finally:
        writer.close()


def hash_of_download(size: int) -> str:
    sha = hashlib.sha256()
    for at in range(0, size, len(BLOCK)):
        sha.update(BLOCK[: min(len(BLOCK), size - at)])
    return sha.hexdigest()


@dataclass
class Watch:
    """What was seen of the balancer while something was going on."""

    before: int = 0
    peak: int = 0
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    """Seconds that a request of somebody else took meanwhile."""

    @property
    def growth(self) -> int:
        return self.peak - self.before

    def slowest(self, share: float) -> float:
        return sorted(self.waits)[min(len(self.waits) - 1, int(len(self.waits) * share))]


def memory(front: Balancer, line: str) -> int:
    """`VmRSS` or `VmHWM` (its highest value so far) in bytes, as the kernel counts them."""
    assert front.process is not None
    status = Path(f"/proc/{front.process.pid}/status").read_text()
    found = re.search(rf"^{line}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def forget_peak(front: Balancer) -> None:
    """`VmHWM` counts from here."""
    assert front.process is not None
    Path(f"/proc/{front.process.pid}/clear_refs").write_text("5")


@asynccontextmanager
async def watched(front: Balancer) -> AsyncIterator[Watch]:
    """Watch its memory, and how long others have to wait."""
    forget_peak(front)
    watch = Watch(memory(front, "VmRSS"))
    asking = asyncio.create_task(_ask_on(front, watch.waits.append))
    started = time.monotonic()
    try:
        yield watch
    finally:
        watch.seconds = time.monotonic() - started
        watch.peak = memory(front, "VmHWM")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _ask_on(front: Balancer, tell: Callable[[float], None]) -> None:
    reader, writer = await asyncio.open_connection(*address(front))
    try:
        while True:
            started = time.monotonic()
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: lb\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            tell(time.monotonic() - started)
            await asyncio.sleep(0.01)
    finally:
        writer.close()
