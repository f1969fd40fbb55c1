"""Each step of a probe, against real servers on loopback."""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import trustme
from endpoints import Endpoint, Tunnels

from lb.checking.probe import Asking, probe_all
from lb.checking.step import Mark, Probe
from lb.config import load
from lb.exchange import BackendFailed, Blame
from lb.wire.tls import backend_context

NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
MakeContext = Callable[..., ssl.SSLContext]


async def token(scope: str) -> str:
    return f"token-for-{scope}"


async def no_token(scope: str) -> str:
    raise BackendFailed(Blame.TOKEN, f"no Microsoft Entra token for {scope}: no managed identity here")


async def ask(url: str, token: Callable[..., object] = no_token, wall: float | None = None, **environ: str) -> Probe:
    config = load({"BACKEND_1_URL": url, **environ})
    now = datetime.now(UTC).timestamp() if wall is None else wall
    (probe,) = await probe_all(config, token, lambda: now)  # type: ignore[arg-type]
    return probe


def said(probe: Probe) -> list[tuple[str, Mark, str]]:
    return [(step.name, step.finding.mark, step.finding.detail) for step in probe.steps]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def roots(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture
def context(authority: trustme.CA) -> MakeContext:
    def make(name: str = "localhost", ends: datetime | None = None) -> ssl.SSLContext:
        begins = None if ends is None else ends - timedelta(days=90)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, not_before=begins, not_after=ends).configure_cert(made)
        return made

    return make


async def test_a_good_backend_passes_every_step(context: MakeContext, roots: str) -> None:
    async with Endpoint().listening(context()) as endpoint:
        probe = await ask(endpoint.url, LB_CA_FILE=roots, BACKEND_1_APIKEY="k", BACKEND_1_DEPLOYMENTS="a=chat,b=chat")
    assert [step.name for step in probe.steps] == ["DNS", "TCP", "TLS", "credential", "deployment chat"]
    assert not probe.failed
    assert probe.backend == f"BACKEND_1 {endpoint.url}"
    assert all(step.seconds >= 0 for step in probe.steps)
    assert endpoint.seen == [
        ("GET", "/openai/models?api-version=2024-10-21"),
        ("POST", "/openai/deployments/chat/chat/completions?api-version=2024-10-21"),
    ]
    assert endpoint.bodies == [b"", b'{"messages": []}']


async def test_a_certificate_near_its_end_is_worth_a_look(context: MakeContext, roots: str) -> None:
    ends = datetime.now(UTC) + timedelta(days=3, hours=1)
    async with Endpoint().listening(context(ends=ends)) as endpoint:
        probe = await ask(endpoint.url, LB_CA_FILE=roots, BACKEND_1_APIKEY="k")
    assert said(probe)[2] == ("TLS", Mark.DOUBTFUL, "certificate good for 3 more days")
    assert not probe.failed


async def test_an_expired_certificate_fails_and_ends_the_probe(context: MakeContext, roots: str) -> None:
    async with Endpoint().listening(context(ends=datetime.now(UTC) - timedelta(days=1))) as endpoint:
        probe = await ask(endpoint.url, LB_CA_FILE=roots, BACKEND_1_APIKEY="k")
    assert said(probe)[2:] == [("TLS", Mark.BAD, "its certificate has expired")]


async def test_a_certificate_for_another_host_fails(context: MakeContext, roots: str) -> None:
    async with Endpoint().listening(context("other.example")) as endpoint:
        probe = await ask(endpoint.url, LB_CA_FILE=roots, BACKEND_1_APIKEY="k")
    assert said(probe)[2:] == [("TLS", Mark.BAD, "its certificate is for another host name")]


async def test_an_issuer_that_nobody_trusts_fails(context: MakeContext) -> None:
    async with Endpoint().listening(context()) as endpoint:
        probe = await ask(endpoint.url, BACKEND_1_APIKEY="k")
    assert probe.steps[-1].name == "TLS"
    assert probe.failed


async def test_a_plain_server_behind_https_is_named_as_such() -> None:
    async with Endpoint().listening() as endpoint:
        probe = await ask(endpoint.url.replace("http:", "https:"), BACKEND_1_APIKEY="k")
    assert said(probe)[2:] == [("TLS", Mark.BAD, "it does not speak TLS on this port")]


async def test_a_name_that_does_not_exist_fails_at_the_first_step() -> None:
    probe = await ask("https://nowhere.invalid")
    assert [step.name for step in probe.steps] == ["DNS"]
    assert "the name cannot be resolved" in probe.steps[0].finding.detail


async def test_a_closed_port_fails_at_the_second_step() -> None:
    with socket.socket() as silent:  # bound, so that nobody else gets the port, and not listening
        silent.bind(("127.0.0.1", 0))
        probe = await ask(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert said(probe)[1:] == [("TCP", Mark.BAD, "refused: nothing listens there")]


async def test_a_wrong_key_is_named_without_being_shown() -> None:
    async with Endpoint().listening() as endpoint:
        probe = await ask(endpoint.url, BACKEND_1_APIKEY="s3cr3t", BACKEND_1_DEPLOYMENT_NAME="chat")
    name, mark, detail = said(probe)[-1]
    assert (name, mark) == ("credential", Mark.BAD)
    assert detail.startswith("not accepted (401)")
    assert "Incorrect key ****." in detail
    assert "s3cr3t" not in detail


async def test_a_token_is_asked_for_its_scope_and_sent_as_bearer() -> None:
    async with Endpoint(key="token-for-https://ai.azure.com/.default").listening() as endpoint:
        probe = await ask(endpoint.url, token, BACKEND_1_SCOPE="https://ai.azure.com/.default")
    assert said(probe)[-1] == ("credential", Mark.GOOD, "accepted")


async def test_no_token_is_a_failed_credential() -> None:
    async with Endpoint().listening() as endpoint:
        probe = await ask(endpoint.url, BACKEND_1_DEPLOYMENT_NAME="chat")
    assert said(probe)[-1][2].endswith("no managed identity here")
    assert probe.failed
    assert endpoint.seen == []


async def test_a_deployment_that_is_not_there_fails_and_the_next_is_asked_too() -> None:
    async with Endpoint().listening() as endpoint:
        probe = await ask(endpoint.url, BACKEND_1_APIKEY="k", BACKEND_1_DEPLOYMENTS="a=gone,b=chat")
    assert [(name, mark) for name, mark, _ in said(probe)[3:]] == [
        ("deployment gone", Mark.BAD),
        ("deployment chat", Mark.GOOD),
    ]
    assert "no such deployment - DeploymentNotFound" in said(probe)[3][2]


async def test_a_throttled_endpoint_knows_us_all_the_same() -> None:
    async with Endpoint(status=429).listening() as endpoint:
        probe = await ask(endpoint.url, BACKEND_1_APIKEY="k", BACKEND_1_DEPLOYMENT_NAME="chat")
    assert not probe.failed
    assert [detail for _, _, detail in said(probe)[2:]] == [
        "accepted; throttled at the moment (429)",
        "there; throttled at the moment (429)",
    ]


async def test_the_way_through_a_proxy_is_checked_like_the_way_itself(context: MakeContext, roots: str) -> None:
    async with Endpoint().listening(context("backend.example")) as endpoint:
        port = int(endpoint.url.rpartition(":")[2])
        async with Tunnels().listening(port) as proxy:
            probe = await ask(
                f"https://backend.example:{port}",
                LB_CA_FILE=roots,
                BACKEND_1_APIKEY="k",
                HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
            )
    assert [step.name for step in probe.steps] == ["DNS", "TCP", "proxy", "TLS", "credential"]
    assert not probe.failed
    assert proxy.asked == [f"CONNECT backend.example:{port} HTTP/1.1"] * 2


ANSWERS = [
    (200, {}, Mark.GOOD, "accepted"),
    (403, {}, Mark.BAD, "Cognitive Services OpenAI User"),
    (404, {}, Mark.DOUBTFUL, "no list of models there"),
    (
        400,
        {"error": {"code": "BadRequest", "message": "custom\nsubdomain"}},
        Mark.DOUBTFUL,
        "BadRequest: custom subdomain",
    ),
    (302, {}, Mark.BAD, "redirect"),
    (503, {"error": "down"}, Mark.BAD, "in trouble (503)"),
]


@pytest.mark.parametrize(("status", "payload", "mark", "detail"), ANSWERS)
async def test_every_answer_about_the_credential_has_a_meaning(
    answers, status: int, payload: object, mark: Mark, detail: str
) -> None:
    answers.get("https://a.example/p/openai/models?api-version=2024-10-21", status=status, payload=payload)
    config = load({"BACKEND_1_URL": "https://a.example/p", "BACKEND_1_APIKEY": "k"})
    async with aiohttp.ClientSession() as session:
        (step,) = await Asking(config, session, no_token, backend_context(), lambda: NOW).ask(
            config.domain_backends()[0]
        )
    assert step.finding.mark is mark
    assert detail in step.finding.detail


async def test_a_connection_lost_while_asking_is_a_failure_in_one_line(answers) -> None:
    answers.get("https://a.example/openai/models?api-version=2024-10-21", exception=aiohttp.ServerDisconnectedError())
    config = load({"BACKEND_1_URL": "https://a.example", "BACKEND_1_APIKEY": "k"})
    async with aiohttp.ClientSession() as session:
        (step,) = await Asking(config, session, no_token, backend_context(), lambda: NOW).ask(
            config.domain_backends()[0]
        )
    assert (step.finding.mark, step.finding.detail) == (Mark.BAD, "no HTTP answer: ServerDisconnectedError")
