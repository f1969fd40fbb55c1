"""azure.yaml and the parameter files: names that azd carries from one to the other."""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
AZURE = yaml.safe_load((ROOT / "azure.yaml").read_text())
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(=[^}]*)?\}")
CHAT_APPS = {
    "OPENAI_HOST",
    "AZURE_OPENAI_CUSTOM_URL",
    "AZURE_OPENAI_CHATGPT_DEPLOYMENT",
    "AZURE_OPENAI_CHATGPT_MODEL",
    "AZURE_OPENAI_EMB_DEPLOYMENT",
    "AZURE_OPENAI_EMB_MODEL_NAME",
}
"""Variables of azure-search-openai-demo, as its own parameter file has them."""
FROM_AZD = re.compile(r"AZURE_(ENV_NAME|LOCATION|PRINCIPAL_ID|PRINCIPAL_TYPE)")


def _taken(name: str) -> set[str]:
    parameters = json.loads((ROOT / "infra" / f"{name}.parameters.json").read_text())["parameters"]
    found = [VARIABLE.fullmatch(given["value"]) for given in parameters.values()]
    assert all(found), "every parameter is one variable"
    return {match.group(1) for match in found if match}


def _outputs(name: str) -> set[str]:
    return set(re.findall(r"^output (\w+)", (ROOT / "infra" / f"{name}.bicep").read_text(), re.MULTILINE))


def test_the_template_has_the_outputs_that_the_tutorial_names() -> None:
    wanted = {"CONTAINER_APP_URL", "SERVICE_WEB_NAME", "AZURE_REGISTRY_NAME", "RESOURCE_GROUP_NAME"}
    assert wanted | {"AZURE_CONTAINER_REGISTRY_ENDPOINT", "AZURE_OPENAI_CUSTOM_URL"} <= _outputs("main")


def test_the_template_has_the_inputs_that_the_tutorial_names() -> None:
    assert {"OPENAI_CAPACITY", "AZURE_ENV_NAME", "AZURE_LOCATION"} <= _taken("main")


def test_what_a_pipeline_gets_is_what_the_templates_take() -> None:
    taken = {name for name in _taken("main") | _taken("web") if not FROM_AZD.fullmatch(name)}
    from_provisioning = _outputs("main") | {"SERVICE_WEB_IMAGE_NAME"}
    assert set(AZURE["pipeline"]["variables"]) == taken - from_provisioning


def test_the_workflow_hands_over_what_a_pipeline_gets() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "azd.yaml").read_text())
    environment = workflow["jobs"]["azd"]["env"]
    assert set(AZURE["pipeline"]["variables"]) == {name for name in environment if not name.startswith("AZURE_")}
    for name, value in environment.items():
        assert value in (f"${{{{ vars.{name} }}}}", "ServicePrincipal")


def test_the_service_has_a_template_of_its_own_name_that_tags_its_app() -> None:
    (service,) = AZURE["services"]
    assert (ROOT / "infra" / f"{service}.bicep").exists()
    assert (ROOT / "infra" / f"{service}.parameters.json").exists()
    assert f"'azd-service-name': '{service}'" in (ROOT / "infra" / f"{service}.bicep").read_text()


def test_the_image_is_built_in_the_registry() -> None:
    docker = AZURE["services"]["web"]["docker"]
    assert docker["remoteBuild"] is True
    assert (ROOT / docker["path"]).exists()


def test_a_second_provision_does_not_touch_the_running_app() -> None:
    """The app is in main.bicep only where an image is given, and azd gives none."""
    assert "module web 'web.bicep' = if (!empty(image))" in (ROOT / "infra" / "main.bicep").read_text()
    assert "image" not in json.loads((ROOT / "infra" / "main.parameters.json").read_text())["parameters"]


def test_the_document_names_every_input_and_only_outputs_that_exist() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    assert [name for name in AZURE["pipeline"]["variables"] if f"`{name}`" not in text] == []
    assert set(re.findall(r"azd env get-value (\w+)", text)) <= _outputs("main")
    assert set(re.findall(r"azd env set (\w+)", text)) - set(AZURE["pipeline"]["variables"]) == CHAT_APPS


def test_the_document_counts_the_deliberate_mistakes() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    for name in ("bicep", "terraform"):
        checks = (ROOT / "infra" / "checks" / f"test_{name}.py").read_text()
        table = checks[checks.index("MISTAKES = {") : checks.index("\n}\n")]
        count = len(re.findall(r'^    ".+": \($|^    ".+": \(".+\),$', table, re.MULTILINE))
        assert f"{count} deliberate mistakes" in text, (name, count)
