"""The examples of docs/clients.md run as they stand there, but for the port. (JavaScript: `make test-node`.)"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from balancer import Balancer, backends, hasty

from lb.sim import Simulator

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
EXAMPLES = [
    (language, code)
    for language, code in re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)
    if "langchain" not in code  # not among the test's dependencies, and the page says so
]


@pytest.fixture
async def balancer(three: list[Simulator]) -> AsyncIterator[Balancer]:
    async with hasty(**backends(*three), LB_CLIENT_KEYS="team-a:a-long-random-key") as balancer:
        yield balancer


@pytest.mark.parametrize(("language", "code"), EXAMPLES, ids=["azure", "v1", "curl"])
async def test_an_example_works_as_it_stands(language: str, code: str, balancer: Balancer) -> None:
    code = code.replace("http://localhost:8080", balancer.url)
    command = (sys.executable, "-c", code) if language == "python" else ("sh", "-c", code)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complained.decode()
    assert len(said.split()) > 3, said
    answered = await balancer.line(lambda line: line["event"] == "Received response 200")
    assert answered["deployment"] == "chat"
