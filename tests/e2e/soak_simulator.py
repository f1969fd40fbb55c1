"""One simulated endpoint in a process of its own, with a book long enough for a whole round: `NAME REQUESTS`."""

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))  # a safe path does not have a script's folder (PYTHONSAFEPATH)
from soak_plan import LATENCY

from lb.sim import Settings, Simulator, Span

REPLY_TOKENS = 8


async def serve(name: str, requests: int) -> None:
    """Print the address, then serve until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    settings = Settings(
        name=name, seed=int(name[-1]), latency=Span(*LATENCY), reply_tokens=REPLY_TOKENS, embedding_size=64,
        keep_requests=requests, keep_bytes=1 << 30,
    )  # fmt: skip
    async with Simulator(settings) as simulator:
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        await over.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], int(sys.argv[2])))
