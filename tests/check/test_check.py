"""`lb check` as an operator sees it: what it prints and its exit code."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import pytest

from lb.check import run_check
from lb.config import Config

ONE = {"BACKEND_1_URL": "https://a.openai.azure.com", "BACKEND_1_APIKEY": "s3cr3t"}


class Tokens:
    def __init__(self, config: Config) -> None:
        self.closed = False

    async def token(self, scope: str) -> str:
        return "t0k3n"

    async def close(self) -> None:
        self.closed = True


def check(environ: dict[str, str], probe: bool = False, tokens: type[Tokens] = Tokens) -> tuple[int, str]:
    out = StringIO()
    return run_check(environ, None, probe, out, tokens), out.getvalue()


@pytest.fixture
def endpoint() -> Iterator[str]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = (
                200 if self.headers["api-key"] == "s3cr3t" or self.headers["authorization"] == "Bearer t0k3n" else 401
            )
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_good_configuration_is_printed_with_origins_and_without_secrets() -> None:
    code, text = check({**ONE, "LB_CLIENT_KEYS": "a:s3cr3t"})
    assert code == 0
    assert "environment BACKEND_1_URL" in text
    assert "default (LB_PORT)" in text
    assert "The configuration is fine." in text
    assert "warning" not in text
    assert "s3cr3t" not in text


def test_a_wrong_one_is_printed_as_far_as_it_is_understood_with_every_problem() -> None:
    code, text = check({**ONE, "LB_PORT": "x", "LB_PROT": "1", "BACKEND_2_URL": "https://u:s3cr3t@h"})
    assert code == 2
    assert [line.split(":")[1] for line in text.splitlines() if line.startswith("problem")] == [
        " LB_PROT",
        " BACKEND_2_URL",
        " LB_PORT",
    ]
    assert "https://a.openai.azure.com" in text
    (line,) = (line for line in text.splitlines() if line.startswith("listen.port"))
    assert line.split() == ["listen.port", "?", "see", "the", "problem"]
    assert "s3cr3t" not in text


def test_an_open_balancer_is_warned_about() -> None:
    _, text = check(ONE)
    assert "warning: anyone who reaches 0.0.0.0 can spend the quota" in text


def test_no_probe_means_that_nobody_is_asked() -> None:
    assert check({"BACKEND_1_URL": "https://nowhere.invalid"})[0] == 0


def test_probes_that_pass_leave_exit_code_zero(endpoint: str) -> None:
    code, text = check({"BACKEND_1_URL": endpoint, "BACKEND_1_APIKEY": "s3cr3t", "BACKEND_2_URL": endpoint}, probe=True)
    assert code == 0
    assert text.count("accepted") == 2
    assert f"BACKEND_1 {endpoint}" in text


def test_a_probe_that_fails_is_exit_code_three(endpoint: str) -> None:
    code, text = check({"BACKEND_1_URL": endpoint, "BACKEND_1_APIKEY": "old"}, probe=True)
    assert code == 3
    assert "FAILED" in text
    assert "not accepted (401)" in text


def test_the_token_source_is_closed_whatever_happens(endpoint: str) -> None:
    made: list[Tokens] = []

    class Remembered(Tokens):
        def __init__(self, config: Config) -> None:
            super().__init__(config)
            made.append(self)

    check({"BACKEND_1_URL": endpoint}, True, Remembered)
    assert [source.closed for source in made] == [True]
