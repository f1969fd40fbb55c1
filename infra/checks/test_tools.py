"""Linters and schemas that others made, over the files that they know."""

import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT201909

from .places import INFRA, ROOT

CHECKS = INFRA / "checks"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
KUBERNETES = [path for path in sorted((INFRA / "kubernetes").rglob("*.yaml")) if path.name != "kustomization.yaml"]
SCRIPTS = sorted(INFRA.rglob("*.sh"))


def _run(*command: str | Path, text: str | None = None) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, input=text, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_azure_yaml_is_as_azd_wants_it() -> None:
    """References to schemas of azd's extensions are taken for `anything`."""
    schema = yaml.safe_load((CHECKS / "schemas" / "azure.yaml.v1.0.json").read_text())
    anything: Registry[Any] = Registry(retrieve=lambda _: Resource(contents={}, specification=DRAFT201909))
    validator = jsonschema.Draft201909Validator(schema, registry=anything)
    found = yaml.safe_load((ROOT / "azure.yaml").read_text())
    assert [error.message for error in validator.iter_errors(found)] == []
    misspelt = {**found, "services": {"web": {**found["services"]["web"], "docker": {"remotebuild": True}}}}
    assert [error.message for error in validator.iter_errors(misspelt)] != []


def test_the_dockerfile_is_clean() -> None:
    _run("hadolint", "Dockerfile")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_clean_and_can_be_run(script: Path) -> None:
    _run("shellcheck", script)
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_kubernetes_file_has_no_unknown_fields(path: Path) -> None:
    _run("kubernetes-validate", "--strict", path)


def test_the_compose_file_is_as_compose_wants_it() -> None:
    _run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", INFRA / "compose" / "compose.yaml")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_as_github_wants_it(path: Path) -> None:
    _run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_clean(path: Path) -> None:
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                assert "${{" not in step["run"], "an expression in a script: hand it over in `env`"
                _run("shellcheck", "--shell", "bash", "-", text=step["run"])


@pytest.mark.parametrize("folder", ["infra", ".github"])
def test_policies_hold(folder: str) -> None:
    _run("checkov", "--config-file", CHECKS / "checkov.yaml", "--directory", folder)


def test_policies_hold_for_the_dockerfile() -> None:
    _run("checkov", "--config-file", CHECKS / "checkov.yaml", "--file", "Dockerfile")
