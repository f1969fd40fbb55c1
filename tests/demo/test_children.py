"""Processes that are heard, missed and ended."""

import asyncio
import os
import signal
import sys

import pytest

from lb.demo.children import Child, ChildDied, environment
from lb.demo.stage import listening, simulator_url

PARENT = """
import asyncio
from lb.demo.children import Child
from lb.demo.stage import simulator_url

async def main():
    child = await Child.start("openai1", ["sim"], simulator_url)
    print(await child.url(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def answers(url: str) -> bool:
    """Does anything listen there?"""
    host, port = url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def test_a_child_tells_where_it_listens_and_is_gone_after_stop() -> None:
    child = await Child.start("openai1", ["sim", "--name=openai1"], simulator_url)
    url = await child.url()
    assert await answers(url)
    await child.stop()
    assert not await answers(url)


async def test_a_child_that_cannot_start_is_told_with_its_last_lines() -> None:
    child = await Child.start("openai1", ["sim", "--tpm=many"], simulator_url)
    with pytest.raises(ChildDied, match=r"(?s)openai1 ended with exit code 2.*'many' is not a valid integer"):
        await child.url()
    await child.stop()


async def test_a_child_that_is_killed_is_missed() -> None:
    child = await Child.start("openai1", ["sim"], simulator_url)
    await child.url()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ChildDied, match="openai1 was ended by signal 9"):
        await child.death()
    await child.stop()


async def test_a_child_ends_when_its_parent_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    url = (await parent.stdout.readline()).decode().strip()
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    assert not await answers(url)


def test_children_see_no_settings_of_another_balancer_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = ("LB_PORT", "BACKEND_9_URL", "backend_8_url", "https_proxy", "HTTP_PROXY", "HTTP_TIMEOUT_SECONDS")
    for name in foreign:
        monkeypatch.setenv(name, "of another")
    monkeypatch.setenv("KEPT", "yes")
    found = environment({"LB_PORT": "0"})
    assert found["LB_PORT"] == "0"
    assert found["KEPT"] == "yes"
    assert not set(foreign[1:]) & found.keys()


def test_the_balancers_start_line_gives_both_addresses() -> None:
    line = '{"event":"Listening on http://127.0.0.1:39923","admin":"http://127.0.0.1:34439"}'
    assert listening(line) == ("http://127.0.0.1:39923", "http://127.0.0.1:34439")


@pytest.mark.parametrize("line", ["", "Listening on http://x", "{broken", '{"event":"Draining"}'])
def test_other_lines_give_no_address(line: str) -> None:
    assert listening(line) is None
