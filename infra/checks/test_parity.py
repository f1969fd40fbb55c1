"""Bicep and Terraform make the same resources, take the same inputs and give the same outputs."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from . import bicep_rules, terraform
from .armtypes import Either, Unknown
from .bicep import read
from .places import INFRA, MAIN, TERRAFORM, WEB

NOT_BODY = {"name", "location", "tags", "scope", "parent", "identity"}


def test_both_make_the_same_types_at_the_same_versions() -> None:
    assert set(_bicep_bodies()) == set(_terraform_bodies())


def test_both_set_the_same_properties() -> None:
    bicep, other = _bicep_bodies(), _terraform_bodies()
    for resource in bicep:
        ours, theirs = _leaves(bicep[resource]), _leaves(other[resource])
        assert ours.keys() == theirs.keys(), resource
        for path in ours:
            assert ours[path] == theirs[path] or "?" in ours[path] | theirs[path], (resource, path)


def test_both_have_the_same_outputs() -> None:
    assert set(read(MAIN).outputs) == set(terraform.read(TERRAFORM).outputs)


def test_both_take_the_same_inputs() -> None:
    files = (INFRA / "main.parameters.json", INFRA / "web.parameters.json")
    from_azd = {name for file in files for name in bicep_rules.azd_variables(file).values()}
    made_by_azd = {name for name in from_azd if name.startswith(("AZURE_", "SERVICE_"))} - {"AZURE_LOCATION"}
    inputs = {name.lower() for name in from_azd - made_by_azd} - {"lb_entra_allowed"} | {"entra_allowed"}
    expected = {name.removeprefix("azure_") for name in inputs}
    expected |= {"environment_name", "principal_id", "principal_type", "image", "address_space"}
    assert set(terraform.read(TERRAFORM).variables) == expected


def test_what_the_app_needs_from_provisioning_is_an_output_of_it() -> None:
    wanted = set(bicep_rules.azd_variables(INFRA / "web.parameters.json").values())
    from_the_user = set(bicep_rules.azd_variables(INFRA / "main.parameters.json").values()) | _users_own()
    by_azd = {"SERVICE_WEB_IMAGE_NAME"}
    assert wanted - from_the_user - by_azd <= set(read(MAIN).outputs)


def test_defaults_are_the_same() -> None:
    document, folder = read(MAIN), terraform.read(TERRAFORM)
    for parameter, variable in bicep_rules.azd_variables(INFRA / "main.parameters.json").items():
        block = folder.variables.get(variable.lower())
        if block and "default" in block.attributes and not document.parameters[parameter].required:
            assert _default(block, folder) == _fallback(parameter), parameter


def _users_own() -> set[str]:
    """Inputs that only the container app takes."""
    names = bicep_rules.azd_variables(INFRA / "web.parameters.json")
    return {
        names[parameter]
        for parameter, wanted in read(WEB).parameters.items()
        if parameter in names and not wanted.required
    }


def _default(block: terraform.Block, folder: terraform.Folder) -> str:
    value = folder.value(block.attributes["default"])
    return "" if value in ([], None) else str(value).lower() if isinstance(value, bool) else str(value)


def _fallback(parameter: str) -> str:
    text = json.loads((INFRA / "main.parameters.json").read_text())["parameters"][parameter]["value"]
    return text.partition("=")[2].rstrip("}")


def _bicep_bodies() -> dict[str, list[Any]]:
    found = defaultdict(list)
    for document in (*bicep_rules.documents(MAIN), read(WEB)):
        for resource in document.resources.values():
            if not resource.existing:
                found[resource.type].append({key: value for key, value in resource.body.items() if key not in NOT_BODY})
    return found


def _terraform_bodies() -> dict[str, list[Any]]:
    folder, found = terraform.read(TERRAFORM), defaultdict(list)
    for block in folder.resources.values():
        body = folder.value(block.attributes["body"]) if "body" in block.attributes else {}
        found[folder.text(block, "type")].append(body)
    return found


def _leaves(bodies: list[Any]) -> dict[str, set[Any]]:
    """Every property that is set, and its values; `?` where only a deployment knows it."""
    found: dict[str, set[Any]] = defaultdict(set)
    for body in bodies:
        for path, value in _leaves_of(body, ""):
            found[path].add(value)
    return found


def _leaves_of(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves_of(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves_of(item, f"{path}[]")
    elif isinstance(value, Either):
        for option in value.options:
            yield from _leaves_of(option, path)
    elif value is not None:
        yield (path, "?" if isinstance(value, Unknown) else value)
