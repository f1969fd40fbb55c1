"""Bicep and Terraform hold to infra/settings.yaml; `tests/infra` does the same for the rest, and for the program."""

import re
from typing import Any

import yaml

from . import bicep, terraform
from .armtypes import Unknown
from .places import INFRA, TERRAFORM, WEB

SETTINGS = yaml.safe_load((INFRA / "settings.yaml").read_text())
INDEX = re.compile(r"\$\{i \+ 1\}")


def test_bicep_reads_settings_that_exist() -> None:
    chains = [mention.chain for mention in bicep.read(WEB).mentions if mention.name == "settings" and mention.chain]
    assert len(chains) > 20
    assert [chain for chain in chains if not _exists(chain)] == []


def test_terraform_reads_settings_that_exist() -> None:
    mentions = [mention.chain for mention in terraform.read(TERRAFORM).mentions]
    chains = [chain[2:] for chain in mentions if chain[:2] == ("local", "settings") and len(chain) > 2]
    assert len(chains) > 20
    assert [chain for chain in chains if not _exists(chain)] == []


def test_both_give_the_container_the_variables_that_are_described() -> None:
    for body in (_bicep_app(), _terraform_app()):
        names = {_name(entry["name"]) for entry in body["properties"]["template"]["containers"][0]["env"]}
        assert names - {"setting.key", "name"} <= set(SETTINGS["deploymentEnv"])
        assert names & {"setting.key", "name"}, "the variables of settings.yaml are not passed on"
        assert {"BACKEND_<x>_URL", "AZURE_CLIENT_ID", "LB_ENTRA_TENANT_ID", "LB_ENTRA_ALLOWED"} <= names


def test_ports_probes_and_limits_come_from_the_settings() -> None:
    for body in (_bicep_app(), _terraform_app()):
        template = body["properties"]["template"]
        container = template["containers"][0]
        assert _setting(body["properties"]["configuration"]["ingress"]["targetPort"]) == "ports.traffic"
        assert _setting(template["terminationGracePeriodSeconds"]) == "terminationGracePeriodSeconds"
        assert {key: _setting(value) for key, value in container["resources"].items()} == {
            "cpu": "resources.cpu",
            "memory": "resources.memory",
        }
        assert {probe["type"].lower() for probe in container["probes"]} == set(SETTINGS["probes"])
        for probe in container["probes"]:
            _holds_to_settings(probe, f"probes.{probe['type'].lower()}")


def _holds_to_settings(probe: dict[str, Any], at: str) -> None:
    assert _setting(probe["httpGet"]["path"]) == f"{at}.path"
    assert _setting(probe["httpGet"]["port"]) == "ports.traffic"
    for key in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
        assert _setting(probe[key]) == f"{at}.{key}"


def test_the_app_is_closed_without_any_input() -> None:
    """The list of callers always starts with who deploys, so that it is never empty."""
    text = WEB.read_text()
    assert "var deployer = empty(principalId) ? az.deployer().objectId : principalId" in text
    assert "empty(entraAllowed) ? 'deployer:${deployer}'" in text
    assert 'concat(["deployer:${local.deployer}"], var.entra_allowed)' in (TERRAFORM / "web.tf").read_text()


def test_an_endpoint_without_a_key_among_others_with_one_keeps_the_identity() -> None:
    text = WEB.read_text()
    assert "filter(range(0, length(keyUris)), i => !empty(keyUris[i]))" in text
    assert text.count("for i in keyPlaces:") == 2
    assert (TERRAFORM / "web.tf").read_text().count('if uri != ""]') == 2


def _bicep_app() -> Any:
    return bicep.read(WEB).resources["app"].body


def _terraform_app() -> Any:
    folder = terraform.read(TERRAFORM)
    return folder.value(folder.resources["web"].attributes["body"])


def _setting(value: Any) -> str:
    assert isinstance(value, Unknown), value
    return value.text.removeprefix("local.").removeprefix("settings.")


def _name(value: Any) -> str:
    text = value.text.strip("'\"") if isinstance(value, Unknown) else value
    return INDEX.sub("<x>", text)


def _exists(chain: tuple[str, ...]) -> bool:
    found: Any = SETTINGS
    for part in chain:
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    return True
