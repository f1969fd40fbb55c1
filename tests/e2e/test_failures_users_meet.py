"""Each failure that a user meets: what the log says, what the client gets. docs/failures.md shows both; it is held
against what happens here."""

import asyncio
import contextlib
import datetime
import json
import os
import re
import resource
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from balancer import Balancer, backends, hasty
from otlp_receiver import Received, over_http

from lb.sim import Settings, Simulator

PAGE = (Path(__file__).parents[2] / "docs" / "failures.md").read_text()
CHAT = "/openai/deployments/chat/chat/completions?api-version=2024-10-21"
BODY = {"messages": [{"role": "user", "content": "hello"}]}
PORT = re.compile(r"(?<=127\.0\.0\.1[: ])(port )?\d+|(?<=localhost:)\d+")
MILLISECONDS = re.compile(r"\d{3,5} ms")


def plain(text: str) -> str:
    """Without what differs from run to run."""
    return MILLISECONDS.sub("# ms", PORT.sub("#", text))


SHOWN = plain(PAGE)


def assert_shown(*texts: str) -> None:
    """The page shows these to its readers, word for word."""
    for text in texts:
        assert plain(text) in SHOWN, plain(text)


async def ask(balancer: Balancer, path: str = CHAT, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(balancer.url + path, json=BODY, headers=headers) as reply,
    ):
        return reply.status, await reply.text()


async def logged(balancer: Balancer, beginning: str) -> dict[str, Any]:
    return await balancer.line(lambda line: line["event"].startswith(beginning))


def server_side(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def roots(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "roots.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Refuses connections, and nobody else gets it meanwhile: bound, and not listening. Beside it a server may listen
    that sets SO_REUSEADDR, as servers do (on Linux)."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def test_a_backend_whose_name_does_not_resolve() -> None:
    async with hasty(BACKEND_1_URL="https://no-such-resource.invalid", BACKEND_1_APIKEY="k") as balancer:
        status, body = await ask(balancer)
        assert (status, json.loads(body)["error"]["code"]) == (502, "BadGateway")
        line = await logged(balancer, "No response from BACKEND_1")
        said = "the name no-such-resource.invalid cannot be resolved: "  # what follows is the system's word for it
        assert said in line["event"]
        assert said in body
        assert_shown(f"No response from BACKEND_1: {said}", f"No backend could answer. Tried BACKEND_1: {said}")


async def test_a_backend_that_refuses_connections(closed_port: int) -> None:
    async with hasty(BACKEND_1_URL=f"http://127.0.0.1:{closed_port}", BACKEND_1_APIKEY="k") as balancer:
        status, body = await ask(balancer)
        assert status == 502
        line = await logged(balancer, "No response from")
        assert_shown(line["event"], body)
        for _ in range(2):
            await ask(balancer)
        marked = await logged(balancer, "Destination")
        assert "deployment" not in marked
        assert_shown(marked["event"])


@pytest.mark.parametrize(
    ("name", "past"),
    [("localhost", True), ("elsewhere.example", False), ("localhost", False)],
    ids=["expired", "another host", "unknown issuer"],
)
async def test_a_certificate_that_is_not_accepted(name: str, past: bool, ca: trustme.CA, roots: str) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    leaf = ca.issue_cert(name, not_after=yesterday if past else None)
    trusted = {"LB_CA_FILE": roots} if past or name != "localhost" else {}
    async with Simulator(Settings(name="openai1"), tls=server_side(leaf)) as simulator:
        url = simulator.url.replace("127.0.0.1", "localhost")
        async with hasty(BACKEND_1_URL=url, BACKEND_1_APIKEY="k", **trusted) as balancer:
            status, body = await ask(balancer)
            assert status == 502
            line = await logged(balancer, "No response from")
            assert line["detail"] in body
            assert_shown(line["event"])
            assert simulator.counts.requests == 0


async def test_lb_ca_file_cures_an_unknown_issuer(ca: trustme.CA, roots: str) -> None:
    tls = server_side(ca.issue_cert("localhost"))
    async with Simulator(Settings(name="openai1"), tls=tls) as simulator:
        url = simulator.url.replace("127.0.0.1", "localhost")
        async with hasty(BACKEND_1_URL=url, BACKEND_1_APIKEY="k", LB_CA_FILE=roots) as balancer:
            assert (await ask(balancer))[0] == 200


async def test_a_wrong_key_at_one_backend_goes_unnoticed_and_is_loud_in_the_log() -> None:
    async with (
        Simulator(Settings(keys=("right",))) as strict,
        Simulator(Settings(name="openai2")) as other,
        hasty(**backends(strict, other, BACKEND_2_PRIORITY="2")) as balancer,
    ):
        assert [(await ask(balancer))[0] for _ in range(4)] == [200] * 4
        line = await logged(balancer, "Destination `BACKEND_1` marked")
        assert line["level"] == "error"
        assert_shown(line["event"], line["reason"])
        assert strict.counts.requests == 1


async def test_a_wrong_key_everywhere_is_a_502_and_never_the_clients_401() -> None:
    async with Simulator(Settings(keys=("right",))) as strict, hasty(**backends(strict)) as balancer:
        status, body = await ask(balancer)
        assert status == 502
        assert_shown(body)


async def test_a_deployment_that_the_backend_does_not_have() -> None:
    async with Simulator(Settings(deployments=("gpt",))) as simulator, hasty(**backends(simulator)) as balancer:
        status, body = await ask(balancer)
        assert status == 502
        line = await logged(balancer, "Destination `BACKEND_1` marked")
        assert (line["level"], line["deployment"]) == ("error", "chat")
        assert_shown(body, line["reason"])


async def test_a_deployment_that_nobody_is_configured_to_serve() -> None:
    async with (
        Simulator() as simulator,
        hasty(**backends(simulator, BACKEND_1_DEPLOYMENTS="gpt=gpt-54-mini,embedding")) as balancer,
    ):
        status, body = await ask(balancer)
        assert status == 404
        assert_shown(body)
        assert simulator.counts.requests == 0


async def test_the_identity_endpoint_is_down(closed_port: int) -> None:
    identity = {"IDENTITY_ENDPOINT": f"http://127.0.0.1:{closed_port}/token", "IDENTITY_HEADER": "x",
                "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"}  # fmt: skip
    async with Simulator() as simulator, hasty(BACKEND_1_URL=simulator.url, **identity) as balancer:
        status, body = await ask(balancer)
        assert status == 502
        token = await logged(balancer, "No Microsoft Entra token for")
        assert_shown(token["event"], body, (await logged(balancer, "No response from"))["event"])
        assert simulator.counts.requests == 0


async def test_all_are_throttled(three: list[Simulator]) -> None:
    for simulator, seconds in zip(three, (30, 7, 60), strict=True):
        simulator.faults.add(f"429:{seconds}")
    async with hasty(**backends(*three)) as balancer:
        async with aiohttp.ClientSession() as session, session.post(balancer.url + CHAT, json=BODY) as reply:
            assert (reply.status, reply.headers["retry-after"]) == (429, "7")
            assert_shown(await reply.text(), "Retry-After: 7")
        line = await logged(balancer, "All backends are throttled")
        assert line["retry_after"] == 7
        assert_shown(line["event"], (await logged(balancer, "Destination `BACKEND_2`"))["event"])


async def test_a_backend_accepts_and_says_nothing() -> None:
    async with Simulator() as simulator:
        simulator.faults.add("silence")
        async with hasty(**backends(simulator, HTTP_TIMEOUT_SECONDS="0.5")) as balancer:
            status, body = await ask(balancer)
            assert status == 504
            assert_shown(body, (await logged(balancer, "No response from"))["event"])


async def test_a_backend_cuts_a_stream_in_the_middle() -> None:
    async with Simulator() as simulator:
        simulator.faults.add("cut-mid-stream")
        async with hasty(**backends(simulator)) as balancer, aiohttp.ClientSession() as session:
            async with session.post(balancer.url + CHAT, json={**BODY, "stream": True}) as reply:
                assert reply.status == 200
                with pytest.raises(aiohttp.ClientPayloadError):
                    await reply.read()
            line = await logged(balancer, "Response cut by")
            assert_shown(line["event"], line["detail"])


async def test_a_client_without_a_key() -> None:
    async with Simulator() as simulator, hasty(**backends(simulator, LB_CLIENT_KEYS="us:secret")) as balancer:
        status, body = await ask(balancer)
        assert status == 401
        line = await logged(balancer, "Refused a request")
        assert_shown(body, line["event"], line["reason"])
        assert (await ask(balancer, headers={"api-key": "secret"}))[0] == 200
        assert simulator.counts.requests == 1


def environment(**settings: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(("LB_", "BACKEND_", "HTTP_"))}
    return {**clean, "LB_HOST": "127.0.0.1", "LB_ADMIN_PORT": "0", "BACKEND_1_APIKEY": "k", **settings}


async def ended(**settings: str) -> tuple[int | None, str]:
    """Exit code of `lb serve` and all that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lb", "serve", env=environment(**settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, said.decode()


async def test_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = await ended(BACKEND_1_URL="https://one.example", LB_PORT=str(port))
        assert code == 1
        assert_shown(json.loads(said.splitlines()[-1])["event"])


async def test_the_configuration_is_wrong() -> None:
    code, said = await ended(BACKEND_1_URL="one.example", BACKEND_1_PRIORTY="1", HTTP_TIMEOUT_SECONDS="soon")
    assert code == 2
    assert_shown(*said.strip().splitlines())


@contextlib.asynccontextmanager
async def deaf(stdout: int, simulator: Simulator, port: int) -> AsyncIterator[str]:
    """The balancer with nobody who takes its log lines."""
    settings = environment(BACKEND_1_URL=simulator.url, LB_PORT=str(port))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "lb", "serve", env=settings, stdout=stdout)
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/healthz") as reply:
                        if reply.status == 200:
                            break
                await asyncio.sleep(0.05)
        yield url
        assert process.returncode is None
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined] # else it warns when the loop is gone


def first_free_descriptor(pid: int) -> int:
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


async def test_a_process_that_may_open_no_more_files() -> None:
    async with (
        Simulator() as simulator,
        hasty(**backends(simulator)) as balancer,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(balancer.url + "/healthz") as reply:  # the connection that is used again below
            assert reply.status == 200
        assert balancer.process is not None
        pid = balancer.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free_descriptor(pid), before[1]))
        for _ in range(5):
            async with session.post(balancer.url + CHAT, json=BODY) as reply:
                assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
                text = await reply.text()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        line = await logged(balancer, "No response from BACKEND_1")
        assert_shown(line["event"], text)
        assert not balancer.events("Destination"), "no backend is to blame"
        async with session.post(balancer.url + CHAT, json=BODY) as reply:
            assert reply.status == 200


@pytest.mark.parametrize("kind", ["a full disk", "a closed pipe", "a pipe that nobody reads"])
async def test_serving_goes_on_when_nobody_takes_the_log(kind: str, closed_port: int) -> None:
    reading, writing = os.pipe()
    if kind == "a full disk":
        os.close(writing)
        writing = os.open("/dev/full", os.O_WRONLY)
    elif kind == "a closed pipe":
        os.close(reading)
    try:
        async with (
            Simulator(Settings(keep_requests=10)) as simulator,
            deaf(writing, simulator, closed_port) as url,
            aiohttp.ClientSession() as session,
        ):
            for _ in range(300):
                async with session.post(url + CHAT, json=BODY) as reply:
                    assert reply.status == 200
                    await reply.read()
    finally:
        os.close(writing)
        if kind != "a closed pipe":
            os.close(reading)


async def test_traces_that_nobody_takes(closed_port: int) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{closed_port}/v1/traces",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    async with Simulator() as one, hasty(**backends(one, **variables)) as balancer:
        assert (await ask(balancer))[0] == 200
        line = await logged(balancer, "Spans cannot be exported")
        assert_shown(line["event"], f'reason="{line["reason"]}"')
        with over_http(Received(), closed_port):
            assert (await ask(balancer))[0] == 200
            again = await balancer.line(lambda line: line["event"].startswith("Spans are exported again"))
        assert_shown(again["event"])


async def test_every_backend_was_taken_out(three: list[Simulator]) -> None:
    async with Balancer(**backends(three[0])) as balancer:
        async with (
            aiohttp.ClientSession(headers={"x-lb-action": "1"}) as session,
            session.post(f"{balancer.admin}/page/actions", json={"do": "take-out", "backend": "BACKEND_1"}) as reply,
        ):
            assert reply.status == 200
        status, body = await ask(balancer)
        assert status == 503
        line = await logged(balancer, "Destination")
        assert_shown(line["event"], f"{status} {body}")
