"""infra/kubernetes against infra/settings.yaml, and against what the cluster would do with it."""

from pathlib import Path
from typing import Any

import yaml

from lb.config import read

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra" / "kubernetes"
SETTINGS = yaml.safe_load((ROOT / "infra" / "settings.yaml").read_text())
BASE = {path.stem: yaml.safe_load(path.read_text()) for path in (FOLDER / "base").glob("*.yaml")}
MONITORING = {path.stem: yaml.safe_load(path.read_text()) for path in (FOLDER / "monitoring").glob("*.yaml")}
AKS = yaml.safe_load((FOLDER / "aks" / "kustomization.yaml").read_text())
POD: Any = BASE["deployment"]["spec"]["template"]["spec"]
CONTAINER: Any = POD["containers"][0]
ENV = {entry["name"]: entry["value"] for entry in CONTAINER["env"]}


def test_every_file_is_in_the_kustomization() -> None:
    assert set(BASE["kustomization"]["resources"]) == {f"{name}.yaml" for name in BASE} - {"kustomization.yaml"}
    assert set(AKS["resources"]) == {"namespace.yaml", "../base"}


def test_the_variables_are_those_of_the_settings() -> None:
    assert {name: ENV[name] for name in SETTINGS["env"]} == SETTINGS["env"]
    assert set(ENV) - set(SETTINGS["env"]) <= set(SETTINGS["deploymentEnv"])


def test_the_program_starts_with_what_the_overlay_says() -> None:
    literals = AKS["configMapGenerator"][0]["literals"]
    backends = dict(literal.split("=", 1) for literal in literals)
    callers = {"LB_CLIENT_KEYS": "team:a-key-of-some-length"}
    config = read({**ENV, **backends, **callers}).config
    assert len(config.backends) == 3
    assert config.admin.host == "0.0.0.0"  # noqa: S104 - in a container


def test_ports_and_probes_are_those_of_the_settings() -> None:
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert ports == SETTINGS["ports"]
    for kind, wanted in SETTINGS["probes"].items():
        probe = CONTAINER[f"{kind}Probe"]
        assert probe["httpGet"] == {"path": wanted["path"], "port": "traffic"}
        for key in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
            assert probe[key] == wanted[key], (kind, key)
    assert BASE["service"]["spec"]["ports"][0]["targetPort"] == "traffic"


def test_a_pod_has_time_to_leave() -> None:
    waits = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["terminationGracePeriodSeconds"] == SETTINGS["terminationGracePeriodSeconds"]
    assert waits + int(SETTINGS["env"]["LB_DRAIN_SECONDS"]) < POD["terminationGracePeriodSeconds"]


def test_resources_fit_the_workers() -> None:
    wanted = SETTINGS["resources"]
    requests, limits = CONTAINER["resources"]["requests"], CONTAINER["resources"]["limits"]
    assert requests == {"cpu": str(wanted["cpu"]), "memory": wanted["memory"]}
    assert limits == {"memory": wanted["memory"]}


def test_a_pod_may_do_nothing_but_serve() -> None:
    user = SETTINGS["user"]
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert (POD["securityContext"]["runAsUser"], POD["securityContext"]["runAsGroup"]) == (user, user)
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False
    assert POD["enableServiceLinks"] is False


def test_no_pod_starts_without_a_word_on_who_may_call() -> None:
    secrets = [source["secretRef"] for source in CONTAINER["envFrom"] if "secretRef" in source]
    assert secrets == [{"name": "openai-lb-callers"}]


def test_names_refer_to_each_other() -> None:
    scaled = BASE["horizontalpodautoscaler"]["spec"]["scaleTargetRef"]
    assert scaled == {"apiVersion": "apps/v1", "kind": "Deployment", "name": BASE["deployment"]["metadata"]["name"]}
    assert POD["serviceAccountName"] == BASE["serviceaccount"]["metadata"]["name"]
    assert AKS["patches"][0]["target"]["name"] == BASE["serviceaccount"]["metadata"]["name"]
    assert AKS["images"][0]["name"] == CONTAINER["image"]
    assert AKS["configMapGenerator"][0]["name"] in {
        source["configMapRef"]["name"] for source in CONTAINER["envFrom"] if "configMapRef" in source
    }


def test_a_node_can_be_drained() -> None:
    fewest = BASE["horizontalpodautoscaler"]["spec"]["minReplicas"]
    assert BASE["poddisruptionbudget"]["spec"]["maxUnavailable"] < fewest


def test_the_operators_port_is_not_in_the_service() -> None:
    assert [port["targetPort"] for port in BASE["service"]["spec"]["ports"]] == ["traffic"]
    rules = BASE["networkpolicy"]["spec"]["ingress"]
    assert [rule for rule in rules if {"port": "admin"} in rule["ports"] and "from" not in rule] == []


def test_prometheus_finds_the_operators_port_of_every_pod() -> None:
    assert set(MONITORING["kustomization"]["resources"]) == {f"{name}.yaml" for name in MONITORING} - {
        "kustomization.yaml"
    }
    service, monitor = MONITORING["service"], MONITORING["servicemonitor"]["spec"]
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (SETTINGS["ports"]["admin"], "admin")
    assert service["spec"]["selector"].items() <= BASE["kustomization"]["labels"][0]["pairs"].items()
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == port["name"]
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "openai-lb"


def test_the_rules_in_the_cluster_are_those_that_are_checked() -> None:
    checked = yaml.safe_load((ROOT / "infra" / "prometheus" / "alerts.yaml").read_text())
    assert MONITORING["prometheusrule"]["spec"] == checked
