"""A real Prometheus reads the real command under the demo's kind of traffic: every panel and every rule has data."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import aiohttp
import pytest
import yaml

HERE = Path(__file__).parent
BOARD = json.loads((HERE.parent / "grafana" / "dashboard.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
MESSAGES = [{"role": "user", "content": "Tell me of the harbour master and his two ledgers."}]
ASKS: list[tuple[str, dict[str, Any]]] = [
    ("chat/completions", {"model": "chat", "messages": MESSAGES, "reasoning_effort": "low"}),
    ("chat/completions", {"model": "chat", "messages": MESSAGES, "stream": True}),
    ("responses", {"model": "chat", "input": "Once upon a time", "stream": True}),
    ("embeddings", {"model": "embedding", "input": ["one", "two words"]}),
]
TENANTS = ["- {name: ada}", "- {name: bob}", "- {name: tiny, tokens_per_minute: 400}"]
KEYS = ["key-of-ada", "key-of-bob", "key-of-tiny"]
TRAFFIC_SECONDS = 14
WINDOW = "10s"
QUIET = {"Log lines dropped", "Requests that wait"}
"""Panels whose data is zero when all is well: they must have data, too, and it must be zero."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(url: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url, timeout=2):  # noqa: S310 - one of our own addresses
                return
        except OSError:
            assert time.monotonic() < end, f"{url} does not answer"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that has watched the traffic."""
    place = tmp_path_factory.mktemp("prometheus")
    ports = [free_port() for _ in range(6)]
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **environ: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LB_", "BACKEND_"))}
        with (place / f"{len(running)}.log").open("wb") as log:
            running.append(subprocess.Popen(command, env={**kept, **environ}, stdout=log, stderr=subprocess.STDOUT))

    try:
        settings = {}
        for number, port in enumerate(ports[:3], 1):
            limits = ("--tpm", "500", "--window", "5", "--latency", "0.05-0.3")
            start(sys.executable, "-m", "lb", "sim", "--name", f"openai{number}", "--port", str(port), *limits)
            settings[f"BACKEND_{number}_URL"] = f"http://127.0.0.1:{port}"
            settings[f"BACKEND_{number}_APIKEY"] = "k"
        clients = [f"- {{name: {key[7:]}, keys: [{key}]}}" for key in KEYS]
        text = "\n".join(["tenants:", *TENANTS, "clients:", *clients])
        admin, own = {"LB_ADMIN_PORT": str(ports[4])}, {"LB_PORT": str(ports[3]), "LB_HOST": "127.0.0.1"}
        start(
            sys.executable,
            "-m",
            "lb",
            "serve",
            **settings,
            **admin,
            **own,
            LB_CONFIG_INLINE=text,
            LB_WORKERS="2",
            LB_USAGE="true",
        )
        wait_for(f"http://127.0.0.1:{ports[4]}/metrics")
        config = yaml.safe_load((HERE / "prometheus.yaml").read_text())
        (job,) = config["scrape_configs"]
        job.update(scrape_interval="1s", static_configs=[{"targets": [f"127.0.0.1:{ports[4]}"]}])
        config |= {"global": {"evaluation_interval": "1s"}, "rule_files": [str(HERE / "alerts.yaml")]}
        (place / "prometheus.yaml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{ports[5]}"
        start(
            "prometheus",
            f"--config.file={place / 'prometheus.yaml'}",
            f"--storage.tsdb.path={place / 'data'}",
            f"--web.listen-address={address}",
        )
        wait_for(f"http://{address}/-/ready")
        asyncio.run(traffic(f"http://127.0.0.1:{ports[3]}/openai/v1/"))
        with urlopen(f"http://127.0.0.1:{ports[4]}/metrics") as reply:
            (place / "metrics.txt").write_bytes(reply.read())
        os.environ["METRICS_TEXT"] = str(place / "metrics.txt")
        yield f"http://{address}"
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(20)


async def traffic(url: str) -> None:
    """Hard enough that limits are met, with a fault now and then."""
    async with aiohttp.ClientSession() as session:

        async def one(number: int) -> None:
            call, body = ASKS[number % len(ASKS)]
            headers = {"api-key": KEYS[number // len(ASKS) % len(KEYS)]}
            if number % 9 < 6:
                headers["x-sim-fault"] = "openai1=500, openai2=429:1@0.2"
            async with session.post(url + call, json=body, headers=headers) as reply:
                await reply.read()

        async def trespass() -> None:
            """One tenant asks for what another one made."""
            made = {"model": "chat", "input": "hello"}
            async with session.post(url + "responses", json=made, headers={"api-key": KEYS[0]}) as reply:
                told = await reply.json()
            if "id" in told:
                async with session.get(url + "responses/" + told["id"], headers={"api-key": KEYS[1]}) as reply:
                    assert reply.status == 404

        end, number = time.monotonic() + TRAFFIC_SECONDS, 0
        while time.monotonic() < end:
            await asyncio.gather(trespass(), *(one(number + i) for i in range(12)))
            number += 12
            await asyncio.sleep(0.3)


def asked(prometheus: str, path: str, **parameters: str) -> Any:
    with urlopen(f"{prometheus}/api/v1/{path}?{urlencode(parameters)}") as reply:  # noqa: S310 - likewise
        told = json.load(reply)
    assert told["status"] == "success"
    return told["data"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_query_of_a_panel_returns_data(prometheus: str, panel: dict[str, Any]) -> None:
    """As Grafana asks, over the time of the traffic."""
    seen = []
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", WINDOW)
        expression = expression.replace("$tenant", ".*").replace("$deployment", ".*")
        now = time.time()
        span = {"start": str(now - 3 * TRAFFIC_SECONDS), "end": str(now), "step": "1"}
        rows = asked(prometheus, "query_range", query=expression, **span)["result"]
        assert rows, expression
        seen += [float(value) for row in rows for _, value in row["values"]]
    assert any(value > 0 for value in seen) != (panel["title"] in QUIET)


def test_the_dashboards_variables_have_values(prometheus: str) -> None:
    assert {"ada", "bob", "tiny"} <= set(asked(prometheus, "label/tenant_name/values"))
    assert {"chat", "embedding"} <= set(asked(prometheus, "label/deployment/values"))


def test_every_rule_is_evaluated_without_error(prometheus: str) -> None:
    (group,) = asked(prometheus, "rules")["groups"]
    assert [rule["name"] for rule in group["rules"] if rule["health"] != "ok"] == []
    assert len(group["rules"]) == len(yaml.safe_load((HERE / "alerts.yaml").read_text())["groups"][0]["rules"])


def test_no_sample_was_refused(prometheus: str) -> None:
    (target,) = asked(prometheus, "targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_promtool_finds_nothing_to_say_of_the_text(prometheus: str) -> None:
    text = Path(os.environ["METRICS_TEXT"]).read_bytes()
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    lines = said.stderr.decode().splitlines() + said.stdout.decode().splitlines()
    assert [line for line in lines if not line.startswith("openai_")] == []  # those names are the sample's
    assert b"lb_requests_total" in text


OWN = [
    ("check", "rules", "alerts.yaml"),
    ("test", "rules", "alerts_test.yaml"),
    ("check", "config", "prometheus.yaml"),
    ("check", "config", "--syntax-only", "../compose/prometheus.yaml"),
]


@pytest.mark.parametrize("command", OWN)
def test_promtool_finds_the_rules_good(command: tuple[str, ...]) -> None:
    said = subprocess.run(["promtool", *command], cwd=HERE, capture_output=True, check=False)
    assert said.returncode == 0, (said.stdout + said.stderr).decode()
