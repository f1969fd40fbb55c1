"""`lb sim` in the terminal."""

import asyncio
import signal
import sys

import aiohttp
import pytest
from click.testing import CliRunner

from lb.sim import Span
from lb.sim.catalogue import CATALOGUE
from lb.sim.command import sim

RUN = "from lb.sim.command import sim; sim()"


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_ends_well_when_told_to(stop):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        "--name",
        "openai2",
        "--key",
        "k",
        "--script",
        "429:7,ok",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    url = line.split("listens on ")[1].split(": ")[0]
    assert line == f"openai2 listens on {url}: set BACKEND_2_URL={url} BACKEND_2_APIKEY=k\n"
    async with aiohttp.ClientSession(headers={"api-key": "k"}) as http:
        for status in (429, 200):
            async with http.post(f"{url}/openai/v1/embeddings", json={"model": "e", "input": "x"}) as reply:
                assert reply.status == status
    process.send_signal(stop)
    assert await process.wait() == 0


def test_a_taken_port_is_said_plainly():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(sim, ["--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert "cannot listen on 127.0.0.1" in result.output


@pytest.mark.parametrize(
    "wrong", [["--latency", "fast"], ["--latency", "2-1"], ["--fault", "fire"], ["--tpm", "-1"], ["--fault", "500@7"]]
)
def test_a_wrong_option_is_refused(wrong):
    result = CliRunner().invoke(sim, wrong)
    assert result.exit_code == 2
    assert wrong[0] in result.output


def test_every_fault_is_listed():
    result = CliRunner().invoke(sim, ["--list-faults"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == list(CATALOGUE)


@pytest.mark.parametrize(("text", "span"), [("0.2", Span(0.2, 0.2)), ("0.1-0.5", Span(0.1, 0.5)), ("0", Span())])
def test_a_latency_is_a_number_or_a_range(text, span):
    assert Span.parse(text) == span
