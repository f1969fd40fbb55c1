"""The Terraform files, and proof that the checks would see a mistake in them."""

import shutil
from pathlib import Path

import hcl2
import pytest

from .places import INFRA, TERRAFORM
from .terraform_rules import problems

MISTAKES = {
    "a misspelt property": ("web.tf", "targetPort    =", "targetPrt    =", "targetPort?"),
    "a value that is none": ("web.tf", '"http"', '"htpp"', "'htpp'"),
    "a value that is none in a condition": ("openai.tf", '"Disabled" : "Enabled"', '"Off" : "On"', "'Off'"),
    "a misspelt property in a concat": ("web.tf", 'value = "ManagedIdentityCredential"', 'valeu = "x"', "value?"),
    "a variable that is none": ("web.tf", "image = var.image", "image = var.picture", "no variable picture"),
    "a variable that is not used": (
        "variables.tf",
        'variable "image"',
        'variable "x" {}\nvariable "image"',
        "x is never used",
    ),
    "a local that is none": ("main.tf", "tags      = local.tags", "tags      = local.tag", "no local tag"),
    "a resource that is none": (
        "main.tf",
        "azapi_resource.workspace.id",
        "azapi_resource.workspaces.id",
        "no resource workspaces",
    ),
    "an output that is not exported": ("main.tf", '"properties.clientId", ', "", "exports no properties.clientId"),
    "a function that is none": ("web.tf", "tostring(priority)", "to_string(priority)", "no function to_string"),
    "an argument that is none": ("openai.tf", "locks = [", "lock = [", "no argument lock"),
    "a syntax error": ("key_vault.tf", "body = {", "body = ", "syntax error"),
}


def test_the_files_have_no_problems() -> None:
    assert list(problems(TERRAFORM)) == []


@pytest.mark.parametrize("path", sorted(TERRAFORM.glob("*.tf")), ids=lambda path: path.name)
def test_a_second_parser_reads_the_files(path: Path) -> None:
    assert hcl2.loads(path.read_text())


@pytest.mark.parametrize(("file", "text", "mistake", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found(tmp_path: Path, file: str, text: str, mistake: str, told: str) -> None:
    shutil.copytree(INFRA / "terraform", tmp_path / "terraform")
    path = tmp_path / "terraform" / file
    before = path.read_text()
    assert text in before
    path.write_text(before.replace(text, mistake, 1))
    found = list(problems(tmp_path / "terraform"))
    assert any(told in line for line in found), found
