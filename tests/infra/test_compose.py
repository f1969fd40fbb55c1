"""infra/compose against infra/settings.yaml and the commands it starts."""

from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from lb.config import read
from lb.sim.command import sim

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = yaml.safe_load((ROOT / "infra" / "settings.yaml").read_text())
SERVICES = yaml.safe_load((ROOT / "infra" / "compose" / "compose.yaml").read_text())["services"]
ENV = SERVICES["lb"]["environment"]
WATCHING = {name: service for name, service in SERVICES.items() if service.get("profiles") == ["metrics"]}
INFRA = ROOT / "infra"
SIMULATORS = {name: service for name, service in SERVICES.items() if service.get("command", [""])[0] == "sim"}


def test_the_variables_are_those_of_the_settings() -> None:
    assert {name: ENV[name] for name in SETTINGS["env"]} == SETTINGS["env"]


def test_the_program_starts_with_these_variables_and_is_closed() -> None:
    config = read(ENV).config
    assert config.checks_callers
    assert config.listen.port == SETTINGS["ports"]["traffic"]


def test_every_backend_is_a_simulator_at_its_port() -> None:
    found = {urlsplit(backend.url).hostname: urlsplit(backend.url).port for backend in read(ENV).config.backends}
    ports = {}
    for name, service in SIMULATORS.items():
        context = sim.make_context("sim", list(service["command"][1:]))
        assert context.params["name"] == name
        assert context.params["host"] == "0.0.0.0"  # noqa: S104 - in a container
        ports[name] = context.params["port"]
    assert found == ports
    assert set(SERVICES["lb"]["depends_on"]) == set(SIMULATORS)


def test_only_this_machine_reaches_it() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    wanted = {f"127.0.0.1:{port}:{port}" for port in SETTINGS["ports"].values()}
    assert wanted <= set(published)
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_containers_run_as_they_do_elsewhere() -> None:
    user = SETTINGS["user"]
    for name in ("lb", *SIMULATORS):
        assert SERVICES[name]["user"] == f"{user}:{user}"
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES["lb"]["stop_grace_period"] == f"{SETTINGS['terminationGracePeriodSeconds']}s"


def test_prometheus_and_grafana_come_only_when_asked_for_and_change_nothing() -> None:
    assert set(WATCHING) == {"prometheus", "grafana"}
    for service in WATCHING.values():
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            source, _, mode = volume.split(":")
            assert (INFRA / "compose" / source).exists()
            assert mode == "ro"


def test_prometheus_reads_the_balancer_and_the_rules() -> None:
    (job,) = yaml.safe_load((INFRA / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    usual = yaml.safe_load((INFRA / "prometheus" / "prometheus.yaml").read_text())
    assert job.pop("static_configs") == [{"targets": [f"lb:{SETTINGS['ports']['admin']}"]}]
    key = sha256(job.pop("authorization")["credentials"].encode()).digest()
    assert read(ENV).config.operator_keys()[key] == "prometheus"
    (known,) = usual["scrape_configs"]
    assert job.items() <= known.items()
    assert "/etc/prometheus/alerts.yaml" in str(WATCHING["prometheus"]["volumes"])
    assert usual["rule_files"] == ["alerts.yaml"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    provisioning = INFRA / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "openai-lb.yaml").read_text())["providers"]
    mounted = [volume.split(":")[1] for volume in WATCHING["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/dashboard.json" in mounted
    assert WATCHING["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted
