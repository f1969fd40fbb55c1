"""`lb logs` reads what the real command writes."""

import asyncio
import json
import re
import sys

from asks import ask, client
from balancer import Balancer, backends

from lb.sim import Simulator


async def told(balancer: Balancer, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lb", "logs", *arguments), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    text, _ = await process.communicate("".join(json.dumps(line) + "\n" for line in balancer.lines).encode())
    assert process.returncode == 0
    return text.decode()


async def test_a_real_stream_becomes_stories(three: list[Simulator]) -> None:
    three[0].faults.add("chat=429:7*1")
    three[1].faults.add("chat=500*1")
    extra = {"BACKEND_2_PRIORITY": "2", "BACKEND_3_PRIORITY": "3", "LB_WORKERS": "2"}
    async with Balancer(**backends(*three, **extra)) as balancer, client(balancer, "any") as sdk:
        assert await ask(sdk) == 200
        assert await asyncio.gather(*[ask(sdk) for _ in range(30)]) == [200] * 30
        (first,) = {line["request_id"] for line in balancer.events("Received response 429")}
    text = await told(balancer, "--only-failovers")
    block = re.search(rf"  {re.escape(first)}  3 attempts\n((?:    .*\n)+)", text)
    assert block is not None
    assert re.sub(r"\d+ ms", "# ms", block[1]).splitlines() == [
        "    429  BACKEND_1  chat  # ms  throttled  left alone for 7 s",
        "    500  BACKEND_2  chat  # ms  faulted",
        "    200  BACKEND_3  chat  # ms",
    ]
    everything = await told(balancer)
    assert len(re.findall(r"^\d\d:\d\d:\d\d\.\d{3}  \S+  200  BACKEND_", everything, flags=re.MULTILINE)) == 30
    assert "Listening on" in everything
    assert len((await told(balancer, "--request", first)).splitlines()) == 5
