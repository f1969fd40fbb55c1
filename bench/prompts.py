"""What keeping prompts together is worth: the share of prompt tokens that simulated endpoints had in their caches.

    python -m bench.prompts

Conversations of eight turns run at once; each begins with a prompt of its own of about 1,500 tokens and grows by 200 a
turn. The endpoints' caches work as Azure describes them (docs/simulator.md). Prints a table in Markdown.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from itertools import chain

import aiohttp

from lb.sim import Settings, Simulator
from lb.sim.settings import Span

CONVERSATIONS = 60
AT_ONCE = 12
TURNS = 8


@dataclass(frozen=True)
class Case:
    """A way to run it: what is switched on, what clients tell, and what happens to the first endpoint."""

    name: str
    settings: dict[str, str]
    tells_key: bool = True
    throttled: bool = False
    endpoints: int = 3


CASES = (
    Case("one endpoint alone: the most that there is", {}, endpoints=1),
    Case("off", {"LB_PROMPT_CACHE_KEY": "false"}),
    Case("`prompt_cache_key` (the default)", {}),
    Case("`LB_PROMPT_PREFIX_BYTES=2048`, no key", {"LB_PROMPT_PREFIX_BYTES": "2048"}, tells_key=False),
    Case("`prompt_cache_key`, one endpoint refuses every tenth for 1 s", {}, throttled=True),
)


def message(conversation: int, turn: int, tokens: int) -> dict[str, str]:
    """About so many tokens of four characters, that no other message has."""
    return {"role": "user", "content": (f"c{conversation:03d}t{turn:02d} " * (tokens // 2))[: tokens * 4]}


def body(conversation: int, turn: int, *, tells_key: bool) -> dict[str, object]:
    """The request of one turn: all that was said before, and a little more."""
    messages = [message(conversation, 0, 1500), *(message(conversation, number, 200) for number in range(1, turn + 1))]
    key = {"prompt_cache_key": f"conversation-{conversation}"} if tells_key else {}
    return {"model": "chat", "messages": messages, "max_tokens": 16, **key}


async def converse(session: aiohttp.ClientSession, url: str, conversation: int, case: Case) -> list[int]:
    """One conversation; returns the statuses."""
    statuses = []
    for turn in range(TURNS):
        asked = body(conversation, turn, tells_key=case.tells_key)
        async with session.post(f"{url}/openai/v1/chat/completions", json=asked) as reply:
            await reply.read()
            statuses.append(reply.status)
    return statuses


async def crowd(url: str, case: Case) -> list[int]:
    """All of them, some at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async with aiohttp.ClientSession() as session:

        async def one(conversation: int) -> list[int]:
            async with gate:
                return await converse(session, url, conversation, case)

        return list(chain.from_iterable(await asyncio.gather(*map(one, range(CONVERSATIONS)))))


async def serve(simulators: list[Simulator], case: Case) -> tuple[asyncio.subprocess.Process, str]:
    """The balancer in front of them, and its address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LB_", "BACKEND_"))}
    given = {"LB_HOST": "127.0.0.1", "LB_PORT": "0", "LB_ADMIN_PORT": "0", "LB_LOG_FORMAT": "console"}
    for number, simulator in enumerate(simulators, 1):
        given |= {f"BACKEND_{number}_URL": simulator.url, f"BACKEND_{number}_APIKEY": "any"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lb", "serve", env={**kept, **given, **case.settings}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while b"Listening on " not in (line := await process.stdout.readline()):
        assert line, "the balancer did not start"
    asyncio.get_running_loop().create_task(process.stdout.read()).add_done_callback(lambda _: None)
    return process, line.split(b"Listening on ")[1].split()[0].decode()


async def run(case: Case) -> str:
    """A row of the table."""
    simulators = [
        Simulator(Settings(name=f"openai{number}", latency=Span.parse("0.02-0.06"), seed=number))
        for number in range(1, case.endpoints + 1)
    ]
    for simulator in simulators:
        await simulator.start()
    if case.throttled:
        simulators[0].faults.add("429:1@0.1")
    process, url = await serve(simulators, case)
    statuses = await crowd(url, case)
    process.terminate()
    await process.wait()
    sums = [simulator.ledger.sum() for simulator in simulators]
    for simulator in simulators:
        await simulator.stop()
    prompt, cached = sum(row.prompt for row in sums), sum(row.cached for row in sums)
    shares = " / ".join(f"{row.requests / len(statuses):.0%}" for row in sums)
    good = statuses.count(200)
    return f"| {case.name} | {good} of {len(statuses)} | {prompt:,} | {cached / prompt:.0%} | {shares} |"


async def main() -> None:
    """All cases, one after the other."""
    print("| prompts kept together by | answered 200 | prompt tokens | of them cached | requests per endpoint |")
    print("|---|---|---|---|---|")
    for case in CASES:
        print(await run(case), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
