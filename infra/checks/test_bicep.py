"""The Bicep files, and proof that the checks would see a mistake in them."""

import shutil
from pathlib import Path

import pytest

from .bicep_rules import problems
from .places import INFRA, MAIN, WEB

MISTAKES = {
    "web.bicep: a misspelt property": ("web.bicep", "targetPort: settings", "targetPrt: settings", "targetPort?"),
    "web.bicep: a value that is none": ("web.bicep", "transport: 'http'", "transport: 'htpp'", "'htpp'"),
    "web.bicep: a number as text": (
        "web.bicep",
        "maxInactiveRevisions: 3",
        "maxInactiveRevisions: '3'",
        "int is wanted",
    ),
    "web.bicep: a misspelt property in a concat": (
        "web.bicep",
        "secretRef: 'client-keys'",
        "secretReff: 'client-keys'",
        "secretRef?",
    ),
    "web.bicep: a name that is none": ("web.bicep", "image: image", "image: imagee", "imagee"),
    "web.bicep: an unused parameter": (
        "web.bicep",
        "param location string",
        "param region string = ''\nparam location string",
        "region",
    ),
    "web.bicep: a function that is none": ("web.bicep", "max(1,", "maximum(1,", "maximum"),
    "web.bicep: a syntax error": ("web.bicep", "identity: {\n    type", "identity: \n    type", "syntax error"),
    "web.bicep: a property read that is none": (
        "web.bicep",
        "registry.properties.loginServer",
        "registry.propertys.loginServer",
        "propertys",
    ),
    "main.bicep: an output that is none": (
        "main.bicep",
        "registry.outputs.loginServer",
        "registry.outputs.server",
        "no output server",
    ),
    "main.bicep: a parameter that the module lacks": (
        "main.bicep",
        "pullerPrincipalId:",
        "principalId:",
        "no parameter principalId",
    ),
    "main.bicep: a parameter that is missing": ("main.bicep", "    kind: openAiKind\n", "", "kind is missing"),
    "main.bicep: a module that is not there": (
        "main.bicep",
        "'modules/registry.bicep'",
        "'modules/registri.bicep'",
        "registri",
    ),
    "main.parameters.json: a parameter that is none": (
        "main.parameters.json",
        '"openAiKind"',
        '"openAiKinds"',
        "declares no openAiKinds",
    ),
    "web.parameters.json: a parameter that is missing": (
        "web.parameters.json",
        '"image"',
        '"picture"',
        "image is missing",
    ),
    "openai.bicep: a read-only property": (
        "modules/openai.bicep",
        "disableLocalAuth: true",
        "endpoint: 'x'",
        "only Azure writes this",
    ),
    "openai.bicep: a missing property": (
        "modules/openai.bicep",
        "    roleDefinitionId: openAiUser\n",
        "",
        "roleDefinitionId is missing",
    ),
    "network.bicep: a misspelt property": ("modules/network.bicep", "delegations:", "delegation:", "delegations?"),
}


@pytest.mark.parametrize("template", [MAIN, WEB], ids=lambda path: path.name)
def test_the_templates_have_no_problems(template: Path) -> None:
    assert list(problems(template)) == []


@pytest.mark.parametrize(("file", "text", "mistake", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found(tmp_path: Path, file: str, text: str, mistake: str, told: str) -> None:
    shutil.copytree(INFRA, tmp_path / "infra", ignore=shutil.ignore_patterns("checks", "terraform", ".*"))
    path = tmp_path / "infra" / file
    before = path.read_text()
    assert text in before
    path.write_text(before.replace(text, mistake, 1))
    found = [*problems(tmp_path / "infra" / "main.bicep"), *problems(tmp_path / "infra" / "web.bicep")]
    assert any(told in line for line in found), found
